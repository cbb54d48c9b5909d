# SPDX-License-Identifier: Apache-2.0
"""The newest fingerprint of each guest, ready to be sent.

The scanner puts samples in, the reporter takes sealed fingerprints out. Only
the newest of each guest is kept, however long the controller is away. The bare
sample stays in memory, never on disk: it is sealed again when the key changes,
and tells which items of the next scan are stable.
"""

import dataclasses
import threading
from collections.abc import Iterable

from membuddies_agent.change_rate import ChangeRate
from membuddies_agent.guests import Guest
from membuddies_agent.pace import changed_fraction
from membuddies_agent.procfs import Process
from membuddies_nova.facts import GuestFacts, Number, Reason
from membuddies_nova.fingerprint import codec, seal
from membuddies_nova.fingerprint.sample import Sample


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """A guest's sealed fingerprint as the bus carries it.

    :ivar bare: the sample before sealing; it never leaves the host
    :ivar scanned_at: when the scan ended, seconds since the epoch
    :ivar changed: part of the guest that changed since the scan before, None for
        the first scan
    :ivar rate: how fast it changes, by all scans of its process
    """

    process: Process
    bare: Sample
    number: Number
    digest: str
    body: bytes
    scanned_at: float
    changed: float | None
    rate: ChangeRate


@dataclasses.dataclass(frozen=True, slots=True)
class _Refusal:
    """Why the newest scan of a process gave nothing."""

    process: Process
    reason: Reason


class Shelf:
    """Holds fingerprints and refusals by guest; safe to use from any thread.

    :param started: when the agent started, milliseconds since the epoch
    :param key: to seal with
    """

    def __init__(self, started: int, key: seal.SealKey) -> None:
        self._started = started
        self._key = key
        self._counter = 0
        self._lock = threading.Lock()
        self._fingerprints: dict[str, Fingerprint] = {}
        self._refusals: dict[str, _Refusal] = {}

    @property
    def key(self) -> seal.SealKey:
        """The key that fingerprints are sealed with now."""
        return self._key

    def put(
        self, uuid: str, process: Process, sample: Sample, scanned_at: float
    ) -> Fingerprint:
        """Take the newest sample of a guest in place of the one before."""
        with self._lock:
            before = self._fingerprints.get(uuid)
            changed, rate = None, ChangeRate()
            if before is not None and before.process == process:
                sample = sample.with_stability(before.bare)
                changed = changed_fraction(before.bare, sample)
                rate = before.rate.after(changed, scanned_at - before.scanned_at)
            fingerprint = self._sealed(process, sample, scanned_at, changed, rate)
            self._fingerprints[uuid] = fingerprint
            self._refusals.pop(uuid, None)
            return fingerprint

    def refuse(self, uuid: str, process: Process, reason: Reason) -> bool:
        """Note why a guest's newest scan gave nothing.

        The reason takes the place of the fingerprint, which nothing vouches for
        any more.

        :returns: whether that is news
        """
        refusal = _Refusal(process, reason)
        with self._lock:
            before = self._refusals.get(uuid)
            self._refusals[uuid] = refusal
            self._fingerprints.pop(uuid, None)
            return before != refusal

    def newest(self, uuid: str) -> Fingerprint | None:
        """A guest's fingerprint, None if there is none."""
        with self._lock:
            return self._fingerprints.get(uuid)

    def tell(self, guests: Iterable[Guest]) -> tuple[GuestFacts, ...]:
        """A report's line for each guest; what belongs to others is dropped.

        A guest that is only paused keeps its fingerprint: its memory stands.
        """
        with self._lock:
            listed = {guest.uuid: guest for guest in guests}
            self._fingerprints = {
                uuid: fingerprint
                for uuid, fingerprint in self._fingerprints.items()
                if uuid in listed
                and listed[uuid].process == fingerprint.process
                and listed[uuid].reason in (None, Reason.PAUSED)
            }
            self._refusals = {
                uuid: refusal
                for uuid, refusal in self._refusals.items()
                if uuid in listed and listed[uuid].process == refusal.process
            }
            return tuple(self._line(guest) for guest in listed.values())

    def seal_with(self, key: seal.SealKey) -> None:
        """Seal every fingerprint anew, under another key."""
        with self._lock:
            self._key = key
            for uuid, old in self._fingerprints.items():
                self._fingerprints[uuid] = self._sealed(
                    old.process, old.bare, old.scanned_at, old.changed, old.rate
                )

    def _line(self, guest: Guest) -> GuestFacts:
        fingerprint = self._fingerprints.get(guest.uuid)
        if fingerprint is None:
            refusal = self._refusals.get(guest.uuid)
            refused = None if refusal is None else refusal.reason
            return GuestFacts(uuid=guest.uuid, reason=guest.reason or refused)
        return GuestFacts(
            uuid=guest.uuid,
            counter=fingerprint.number.counter,
            digest=fingerprint.digest,
            scanned_at=fingerprint.scanned_at,
            change_fraction_per_hour=fingerprint.rate.per_hour,
        )

    def _sealed(
        self,
        process: Process,
        bare: Sample,
        scanned_at: float,
        changed: float | None,
        rate: ChangeRate,
    ) -> Fingerprint:
        self._counter += 1
        body = codec.encode(bare.sealed(self._key))
        return Fingerprint(
            process=process,
            bare=bare,
            number=Number(self._started, self._counter),
            digest=codec.digest(body),
            body=body,
            scanned_at=scanned_at,
            changed=changed,
            rate=rate,
        )
