# SPDX-License-Identifier: Apache-2.0
"""The scoreboard that a controller answers schedulers with.

Built from the database alone, so that every controller builds the same. What a
build read stays in memory: of fingerprints only those that changed are read
again, and profiles are learned anew only when guests or fingerprints changed.
Never answers an old board as if it were new: while the database is away the
question fails, and the schedulers' copies grow old as they should.
"""

import dataclasses
import threading
from collections.abc import Collection, Iterable

from oslo_log import log as logging

from membuddies_nova import exceptions
from membuddies_nova.cluster import Guest, Host, KsmState, Scope
from membuddies_nova.db import fingerprints, inventory, reports
from membuddies_nova.db.api import Database, Session
from membuddies_nova.db.reports import HostReport
from membuddies_nova.facts import Reason
from membuddies_nova.fingerprint import codec as fingerprint_codec
from membuddies_nova.fingerprint.sample import Sample
from membuddies_nova.model.board import board_of
from membuddies_nova.model.profiles import Profiles, learn, settling_seconds
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.scoreboard import codec
from membuddies_nova.scoreboard.profile import profile_chain

LOG = logging.getLogger(__name__)

REBUILD_SECONDS = 0.5
"""A board younger than this is answered without a look at the database."""

PENDING_SECONDS = 900.0
"""A guest older than this, of which no agent made a fingerprint, is no longer
taken for one that was just booked."""

_PATIENCE_SECONDS = 30.0
_SETTLING_STEP_SECONDS = 10

_NOT_YET = (None, Reason.TOO_YOUNG, Reason.INCOMING)


@dataclasses.dataclass(frozen=True, slots=True)
class BoardAnswer:
    """The newest board.

    :ivar body: encoded and compressed, None if the asker has this version
    """

    version: str
    body: bytes | None


class Board:
    """The newest scoreboard, for any number of threads.

    :param scope: within what guests may count on each other's pages
    :param report_age_limit_seconds: beyond it a host's KSM state is unknown
    :param full_scan_age_limit_seconds: likewise, since KSM's last full scan; a
        host whose KSM sleeps until it is needed is not held to it
    """

    def __init__(
        self,
        database: Database,
        *,
        scope: Scope,
        report_age_limit_seconds: float,
        full_scan_age_limit_seconds: float,
    ) -> None:
        self._database = database
        self._scope = scope
        self._report_age_limit_seconds = report_age_limit_seconds
        self._full_scan_age_limit_seconds = full_scan_age_limit_seconds
        self._lock = threading.Lock()
        self._built_at = float("-inf")
        self._newest = ("", b"")
        self._sequence = 0
        self._guests: set[str] = set()
        self._samples: dict[str, Sample] = {}
        self._learned: tuple[object, Profiles] | None = None

    def current(self, version: str | None, now: float) -> BoardAnswer:
        """The board, or that the asker has it.

        :param version: of the board that the asker holds
        :param now: seconds since the epoch
        :raises DatabaseUnavailableError: if the database does not answer
        """
        # While another thread builds, the last board is the newest. But a build
        # that waits for the database must not keep it young for ever.
        age_seconds = abs(now - self._built_at)
        if age_seconds >= REBUILD_SECONDS and self._lock.acquire(
            blocking=age_seconds >= _PATIENCE_SECONDS
        ):
            try:
                # Of both signs: a clock set back makes no board last longer.
                if abs(now - self._built_at) >= REBUILD_SECONDS:
                    self._build(now)
                    self._built_at = now
            finally:
                self._lock.release()
        newest, body = self._newest
        return BoardAnswer(newest, None if version == newest else body)

    def _build(self, now: float) -> None:
        with self._database.reader() as session:
            hosts = inventory.hosts(session, now, self._report_age_limit_seconds)
            guests = inventory.guests(session, now)
            images = inventory.images(session)
            by_host = {report.host: report for report in reports.all(session)}
            self._read_fingerprints(session, {guest.uuid for guest in guests})
        names = {host.name for host in hosts}
        # Sorted, so that every controller writes the same board. A shelved guest
        # has no host, and fills its memory again with what it held.
        placed = sorted(
            (
                guest
                for guest in guests
                if guest.host in names
                or (guest.host is None and guest.uuid in self._samples)
            ),
            key=lambda guest: guest.uuid,
        )
        snapshot = ClusterSnapshot(
            hosts=tuple(
                self._judged(host, by_host.get(host.name), now)
                for host in sorted(hosts, key=lambda host: host.name)
            ),
            guests=tuple(placed),
            samples={
                guest.uuid: self._samples[guest.uuid]
                for guest in placed
                if guest.uuid in self._samples
            },
        )
        board = board_of(
            snapshot,
            self._profiles(snapshot),
            self._scope,
            pending=_pending(placed, self._samples, by_host.values()),
            images=images,
        )
        data = codec.encode(board)
        version = codec.version(data)
        if version != self._newest[0]:
            self._newest = (version, codec.compress(data))

    def _read_fingerprints(self, session: Session, guests: set[str]) -> None:
        """Read what changed, forget the guests that are gone."""
        bodies = {}
        if self._sequence:
            # One that was gone and is back may have an old fingerprint.
            bodies = fingerprints.bodies(session, guests - self._guests)
        for stored in fingerprints.changed_since(session, self._sequence):
            self._sequence = max(self._sequence, stored.sequence)
            bodies[stored.guest] = stored.body
        for guest, body in bodies.items():
            try:
                self._samples[guest] = fingerprint_codec.decode(body)
            except exceptions.FingerprintError as error:
                self._samples.pop(guest, None)
                LOG.warning("fingerprint of guest %s: %s", guest, error)
        for gone in self._samples.keys() - guests:
            del self._samples[gone]
        self._guests = guests

    def _profiles(self, snapshot: ClusterSnapshot) -> Profiles:
        """Learned anew if anything that they are learned from has changed."""
        grounds = (
            self._sequence,
            tuple(host.name for host in snapshot.hosts),
            tuple(
                (
                    guest.uuid,
                    guest.host,
                    guest.scope_key(self._scope),
                    guest.has_memory,
                    settling_seconds(guest) // _SETTLING_STEP_SECONDS,
                    *profile_chain(guest),
                )
                for guest in snapshot.guests
            ),
        )
        if self._learned is None or self._learned[0] != grounds:
            self._learned = (grounds, learn(snapshot, self._scope))
        return self._learned[1]

    def _judged(self, host: Host, report: HostReport | None, now: float) -> Host:
        """The host with the KSM state that a new guest can rely on."""
        if report is None or host.ksm is not KsmState.MERGING:
            return host
        age_seconds = report.facts.ksm.full_scan_age_seconds
        if age_seconds is None:
            # Its agent has seen none end since it started.
            age_seconds = now - report.number.started / 1000.0
        if age_seconds <= self._full_scan_age_limit_seconds:
            return host
        return dataclasses.replace(host, ksm=KsmState.UNKNOWN)


def _pending(
    guests: Iterable[Guest],
    samples: Collection[str],
    by_host: Iterable[HostReport],
) -> frozenset[str]:
    """Guests that were booked lately and have no fingerprint yet.

    Of a guest only the agent is heard on whose host Nova sees it.
    """
    reasons: dict[tuple[str | None, str], Reason | None] = {
        (report.host, facts.uuid): facts.reason
        for report in by_host
        for facts in report.guests
    }
    return frozenset(
        guest.uuid
        for guest in guests
        if guest.uuid not in samples
        and (guest.age_seconds is None or guest.age_seconds < PENDING_SECONDS)
        and reasons.get((guest.host, guest.uuid)) in _NOT_YET
    )
