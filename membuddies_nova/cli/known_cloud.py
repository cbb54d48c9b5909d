# SPDX-License-Identifier: Apache-2.0
"""What the database knows of the cloud now, for the commands that show it.

Fingerprints are read host by host: what guests share on a host depends on no
other host, and all bodies together may not fit into memory. Nothing is written.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

from sqlalchemy.orm import Session

from membuddies_nova import exceptions
from membuddies_nova.cluster import Guest, Host
from membuddies_nova.db import fingerprints, inventory, reports
from membuddies_nova.db.fingerprints import FingerprintSummary
from membuddies_nova.db.inventory import InventoryState
from membuddies_nova.db.reports import HostReport
from membuddies_nova.facts import GuestFacts, Reason
from membuddies_nova.model.snapshot import ClusterSnapshot, snapshot_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class KnownCloud:
    """Hosts, guests, reports and fingerprints, without the bodies of these.

    :ivar now: seconds since the epoch
    :ivar guests: placed or not
    :ivar reports: the newest by host
    :ivar summaries: by guest
    """

    now: float
    inventory: InventoryState
    hosts: tuple[Host, ...]
    guests: tuple[Guest, ...]
    reports: dict[str, HostReport]
    summaries: dict[str, FingerprintSummary]

    @classmethod
    def read(cls, session: Session, now: float) -> "KnownCloud":
        """All of it as of one moment."""
        return cls(
            now=now,
            inventory=inventory.state(session),
            hosts=tuple(inventory.hosts(session, now)),
            guests=tuple(inventory.guests(session, now)),
            reports={report.host: report for report in reports.all(session)},
            summaries={each.guest: each for each in fingerprints.summaries(session)},
        )

    @property
    def inventory_age_seconds(self) -> float | None:
        """None if no inventory was ever read."""
        return self._age(self.inventory.read_at)

    def report_age_seconds(self, host: str) -> float | None:
        """Since the host's agent reported, None if it never did."""
        report = self.reports.get(host)
        return None if report is None else self._age(report.received_at)

    def scan_age_seconds(self, guest: str) -> float | None:
        """Since the guest's fingerprint was true, None if it has none."""
        summary = self.summaries.get(guest)
        return None if summary is None else self._age(summary.scanned_at)

    def guests_on(self, host: str) -> tuple[Guest, ...]:
        """The guests that Nova sees on a host."""
        return tuple(self._guests_by_host.get(host, ()))

    def named(self, text: str) -> Guest:
        """The guest with that uuid or name.

        :raises InputError: if there is none, or several have the name
        """
        found = [guest for guest in self.guests if guest.uuid == text]
        found = found or [guest for guest in self.guests if guest.name == text]
        if not found:
            raise exceptions.InputError(
                f"no guest has the uuid or name {text!r}; `membuddies guest list` "
                f"names them"
            )
        if len(found) > 1:
            raise exceptions.InputError(
                f"{len(found)} guests have the name {text!r}; give the uuid of one: "
                f"{', '.join(guest.uuid for guest in found)}"
            )
        return found[0]

    def by_host(self, session: Session) -> Iterator[tuple[Host, ClusterSnapshot]]:
        """Each host, with a snapshot of it and its guests alone."""
        for host in self.hosts:
            yield host, self.snapshot(session, self.guests_on(host.name))

    def snapshot(self, session: Session, guests: Sequence[Guest]) -> ClusterSnapshot:
        """Some guests with their fingerprints."""
        bodies = fingerprints.bodies(session, [guest.uuid for guest in guests])
        return snapshot_of(self.hosts, guests, bodies)

    def told_of(self, guest: Guest) -> GuestFacts | None:
        """What the agent of a guest's host told last of it, None for nothing."""
        report = self.reports.get(guest.host or "")
        if report is None:
            return None
        return next(
            (facts for facts in report.guests if facts.uuid == guest.uuid), None
        )

    def why_unknown(self, guest: Guest) -> str | None:
        """Why no fingerprint of a guest counts, None if one does."""
        if not guest.has_memory:
            return Reason.SHUT_OFF.sentence
        if guest.uuid in self.summaries:
            return None
        if guest.host is None:
            return "it is on no host"
        if guest.host not in self.reports:
            return f"no agent has ever reported from {guest.host}"
        facts = self.told_of(guest)
        if facts is None:
            return f"the agent of {guest.host} does not see it"
        if facts.reason is not None:
            return facts.reason.sentence
        return "its fingerprint has not come yet"

    @functools.cached_property
    def _guests_by_host(self) -> dict[str | None, list[Guest]]:
        by_host: dict[str | None, list[Guest]] = {}
        for guest in self.guests:
            by_host.setdefault(guest.host, []).append(guest)
        return by_host

    def _age(self, moment: float | None) -> float | None:
        return None if moment is None else max(self.now - moment, 0.0)
