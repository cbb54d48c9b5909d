# SPDX-License-Identifier: Apache-2.0
"""The scoreboard that a controller answers schedulers with.

Built from the database alone, so that every controller builds the same. What a
build read stays in memory: of fingerprints only those that changed are read
again, guests only when the inventory was read anew or some are still young, and
what they share is counted otherwise only where something changed.
Never answers an old board as if it were new: while the database is away the
question fails, and the schedulers' copies grow old as they should.
"""

import dataclasses
import operator
import threading
import time
from collections.abc import Collection, Iterable

from oslo_log import log as logging

from membuddies_nova import exceptions
from membuddies_nova.cluster import Guest, Host, Image, KsmState, Scope
from membuddies_nova.db import fingerprints, inventory, reports
from membuddies_nova.db.api import Database, Session
from membuddies_nova.db.reports import HostReport
from membuddies_nova.facts import Reason
from membuddies_nova.fingerprint import codec as fingerprint_codec
from membuddies_nova.fingerprint.sample import Sample
from membuddies_nova.model.board import BoardWriter
from membuddies_nova.model.profiles import Learner
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.scoreboard import codec

LOG = logging.getLogger(__name__)

REBUILD_SECONDS = 0.5
"""A board younger than this is answered without a look at the database."""

PENDING_SECONDS = 900.0
"""A guest older than this, of which no agent made a fingerprint, is no longer
taken for one that was just booked."""

_PATIENCE_SECONDS = 30.0

_STEP_SECONDS = 10.0
"""Ages are taken at every tenth second of the clock, so that controllers which
build a board at other moments still build the same."""

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
    :param forget_fingerprint_seconds: beyond it since the last scan that found
        them, a guest's pages count no more
    """

    def __init__(
        self,
        database: Database,
        *,
        scope: Scope,
        report_age_limit_seconds: float,
        full_scan_age_limit_seconds: float,
        forget_fingerprint_seconds: float,
    ) -> None:
        self._database = database
        self._scope = scope
        self._report_age_limit_seconds = report_age_limit_seconds
        self._full_scan_age_limit_seconds = full_scan_age_limit_seconds
        self._forget_fingerprint_seconds = forget_fingerprint_seconds
        self._lock = threading.Lock()
        self._built_at = float("-inf")
        self._newest = ("", b"")
        self._sequence = 0
        self._read_at: float | None = None
        self._moment: float | None = None
        self._guests: list[Guest] = []
        self._images: list[Image] = []
        self._uuids: set[str] = set()
        self._samples: dict[str, Sample] = {}
        self._forgotten: set[str] = set()
        self._placed: tuple[Guest, ...] = ()
        self._learner = Learner(scope)
        self._writer = BoardWriter(scope)

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
            by_host = {report.host: report for report in reports.all(session)}
            moment = now // _STEP_SECONDS * _STEP_SECONDS
            self._read_inventory(session, moment)
            self._read_fingerprints(session)
            if moment != self._moment:
                self._forgotten = fingerprints.scanned_before(
                    session, moment - self._forget_fingerprint_seconds
                )
                self._moment = moment
        placed = self._on_board({host.name for host in hosts})
        samples = {
            guest.uuid: self._samples[guest.uuid]
            for guest in placed
            if self._is_known(guest.uuid)
        }
        snapshot = ClusterSnapshot(
            hosts=tuple(
                self._judged(host, by_host.get(host.name), now)
                for host in sorted(hosts, key=lambda host: host.name)
            ),
            guests=placed,
            samples=samples,
        )
        started = time.monotonic()
        profiles = self._learner.learn(snapshot)
        if self._learner.counted_anew:
            LOG.info(
                "counted the pages of %d trust scopes from nothing in %.1f seconds, "
                "for %d guests with a fingerprint",
                self._learner.counted_anew,
                time.monotonic() - started,
                len(samples),
            )
        board = self._writer.write(
            snapshot,
            profiles,
            pending=_pending(placed, samples, by_host.values()),
            images=self._images,
        )
        data = codec.encode(board)
        version = codec.version(data)
        if version != self._newest[0]:
            self._newest = (version, codec.compress(data))

    def _read_inventory(self, session: Session, moment: float) -> None:
        """Read guests and images, if they can differ from what was read last."""
        read_at = inventory.state(session).read_at
        if read_at != self._read_at or (
            moment != self._moment and any(map(_is_young, self._guests))
        ):
            self._guests = inventory.guests(session, moment)
            self._images = inventory.images(session)
            self._read_at = read_at

    def _is_known(self, guest: str) -> bool:
        """Whether a guest has a fingerprint that still counts."""
        return guest in self._samples and guest not in self._forgotten

    def _on_board(self, hosts: Collection[str]) -> tuple[Guest, ...]:
        """The guests that the board tells of, the same tuple while they are.

        Sorted, so that every controller writes the same board. A shelved guest has
        no host, and fills its memory again with what it held.
        """
        placed = sorted(
            (
                guest
                for guest in self._guests
                if guest.host in hosts
                or (guest.host is None and self._is_known(guest.uuid))
            ),
            key=lambda guest: guest.uuid,
        )
        if len(placed) != len(self._placed) or not all(
            map(operator.is_, placed, self._placed)
        ):
            self._placed = tuple(placed)
        return self._placed

    def _read_fingerprints(self, session: Session) -> None:
        """Read what changed, forget the guests that are gone."""
        bodies = {}
        guests = {guest.uuid for guest in self._guests}
        if self._sequence:
            # One that was gone and is back may have an old fingerprint.
            bodies = fingerprints.bodies(session, guests - self._uuids)
        for stored in fingerprints.changed_since(session, self._sequence):
            self._sequence = max(self._sequence, stored.sequence)
            bodies[stored.guest] = stored.body
            self._forgotten.discard(stored.guest)
        for guest, body in bodies.items():
            try:
                self._samples[guest] = fingerprint_codec.decode(body)
            except exceptions.FingerprintError as error:
                self._samples.pop(guest, None)
                LOG.warning("fingerprint of guest %s: %s", guest, error)
        for gone in self._samples.keys() - guests:
            del self._samples[gone]
        self._uuids = guests

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


def _is_young(guest: Guest) -> bool:
    """Whether what the board tells of a guest changes with its age."""
    return guest.age_seconds is not None and guest.age_seconds < PENDING_SECONDS


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
