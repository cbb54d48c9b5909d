# SPDX-License-Identifier: Apache-2.0
"""One guest against the hosts of a board: the expected shared part of its memory.

For the weigher, which asks this of every host of a request, and for
``membuddies explain``, which tells an operator the same with its reason.

A guest that the board knows by its own fingerprint is scored by that: a live
migration takes its pages along, and after a cold one, an evacuation or an
unshelving it fills its memory with what it held before. Any other guest is scored
by the first of its profiles that its trust scope has learned. Guests that were
booked on a host lately, and have no fingerprint yet, count with their profiles. Of
the host's guests and the booked ones the better counts alone: their pages are
mostly the same ones, so a sum would promise too much.

A host scores 0 if its KSM promises nothing, or if its available memory, less what
was booked since it was measured, cannot take the whole guest unshared.
"""

import dataclasses
import enum
import functools
from collections.abc import Callable, Container, Set
from typing import NamedTuple

from membuddies_nova.cluster import Guest, KsmState
from membuddies_nova.scoreboard.board import Scoreboard
from membuddies_nova.scoreboard.line import HostLine
from membuddies_nova.scoreboard.profile import is_of_image, profile_chain

Told = Callable[[str], Guest | None]
"""What is known of a guest that the board does not know, by its uuid."""

CountedOn = Callable[[str], Container[str]]
"""Uuids of the guests that Nova counts on another host of the request, by its name."""


class Finding(enum.StrEnum):
    """Why a host scores what it does."""

    KIN = "kin"
    BOOKED_KIN = "booked-kin"
    NO_KIN = "no-kin"
    NO_MEMORY = "no-memory"
    KSM_OFF = "ksm-off"
    KSM_UNKNOWN = "ksm-unknown"
    UNKNOWN_HOST = "unknown-host"
    NO_FLAVOR = "no-flavor"

    @property
    def sentence(self) -> str:
        """The finding as an operator reads it."""
        return _SENTENCES[self]


_SENTENCES = {
    Finding.KIN: "guests there hold these pages",
    Finding.BOOKED_KIN: "a guest booked there lately will hold these pages",
    Finding.NO_KIN: "no guest of its trust scope there holds pages that it will hold",
    Finding.NO_MEMORY: (
        "its available memory, less what was booked lately, cannot take the guest "
        "unshared"
    ),
    Finding.KSM_OFF: "its KSM is off",
    Finding.KSM_UNKNOWN: (
        "its KSM cannot be relied on: no fresh report, merging stopped with pages "
        "still merged, or no full scan for long"
    ),
    Finding.UNKNOWN_HOST: "the scoreboard does not know it",
    Finding.NO_FLAVOR: "the request names no memory size",
}


class Verdict(NamedTuple):
    """What one host comes to.

    :ivar score: expected shared fraction of the guest's memory, 0 to 1
    :ivar shared_mb: expected shared memory, whatever the score
    :ivar booked_mb: memory of guests that the host's available memory does not
        show yet
    """

    score: float
    finding: Finding
    shared_mb: float = 0.0
    booked_mb: int = 0


_PROMISING = tuple(state for state in KsmState if state.promises_merging)


def _nobody(_uuid: str) -> None:
    return None


def _nowhere(_host: str) -> tuple[str, ...]:
    return ()


class Scorer:
    """Judges hosts for one guest.

    :param guest: as the request describes it; what Nova leaves out of its
        requests is taken from the board
    :param asked: uuids of the guests of the same request, which are its siblings
        wherever Nova counts them
    """

    def __init__(
        self, board: Scoreboard, guest: Guest, asked: Set[str] = frozenset()
    ) -> None:
        self._board = board
        self._guest = guest = _completed(board, guest)
        self._key = guest.scope_key(board.scope)
        self._profile = profile_chain(guest)[0]
        self._row = self._row_of(guest)
        self._shared_mb: dict[str, float] = {}
        self.by_fingerprint = False
        known = board.guest(guest.uuid)
        if known is not None and known.key == self._key:
            self._shared_mb = board.own_shared_mb(known)
            self.by_fingerprint = bool(self._shared_mb)
            # Nova tells no image of a guest that booted from a volume.
            self._row = self._row if known.row is None else known.row
        self._overlaps_mb: dict[int, float] = {}
        if self._row is not None:
            self._shared_mb = self._shared_mb or board.shared_mb(self._row)
            self._overlaps_mb = board.overlaps_mb(self._row)
        self._sibling_mb = self._overlap_mb(self._row, self._profile)
        self._not_booked = asked | {guest.uuid}

    @property
    def profile(self) -> str | None:
        """The profile that stands for the guest, None if none is known."""
        return None if self._row is None else self._board.row_name(self._row)

    def settled_score(self, host: str, instances: tuple[str, ...]) -> float | None:
        """What ``judge`` would say, in short, where nobody is booked.

        :param instances: uuids of the guests that Nova counts there
        :returns: None where somebody is booked whom the board's numbers do not show
        """
        board = self._board
        if board.pending(host) or not board.tenancy.places(host, instances):
            return None
        return self._settled_scores.get(host, 0.0)

    def judge(
        self,
        host: str,
        instances: Set[str] = frozenset(),
        siblings: int = 0,
        told: Told = _nobody,
        counted_on: CountedOn = _nowhere,
    ) -> Verdict:
        """What a host comes to.

        :param instances: uuids of the guests that Nova counts there
        :param siblings: guests of the same request that were booked there already
        """
        line = self._board.host(host)
        if line is None:
            return Verdict(0.0, Finding.UNKNOWN_HOST)
        booked_mb, booked_kin_mb = self._booked(
            host, instances, siblings, told, counted_on
        )
        kin_mb = self._shared_mb.get(host, 0.0)
        shared_mb = max(kin_mb, booked_kin_mb)
        obstacle = self._obstacle(line, booked_mb)
        if obstacle is not None:
            return Verdict(0.0, obstacle, shared_mb, booked_mb)
        if shared_mb <= 0.0:
            return Verdict(0.0, Finding.NO_KIN, shared_mb, booked_mb)
        finding = Finding.KIN if kin_mb >= booked_kin_mb else Finding.BOOKED_KIN
        return Verdict(self._fraction(shared_mb), finding, shared_mb, booked_mb)

    def _obstacle(self, line: HostLine, booked_mb: int) -> Finding | None:
        """Why a host scores 0 whatever its guests hold, None if it need not."""
        if line.ksm not in _PROMISING:
            off = line.ksm is KsmState.OFF
            return Finding.KSM_OFF if off else Finding.KSM_UNKNOWN
        memory_mb = self._guest.memory_mb
        if memory_mb <= 0:
            return Finding.NO_FLAVOR
        if memory_mb > (line.available_mb or 0) - booked_mb:
            return Finding.NO_MEMORY
        return None

    def _fraction(self, shared_mb: float) -> float:
        return min(shared_mb / self._guest.memory_mb, 1.0)

    def _booked(
        self,
        host: str,
        instances: Set[str],
        siblings: int,
        told: Told,
        counted_on: CountedOn,
    ) -> tuple[int, float]:
        """What the board's numbers of the host do not show yet.

        A guest that Nova counts on two hosts is where the board has it: for up to two
        minutes a scheduler may not have heard that a guest left a host.

        :returns: memory of the guests booked there in MB; what the guest is
            expected to share with one of them in MB
        """
        settled, pending = self._board.settled(host), self._board.pending(host)
        if not (siblings or pending) and instances <= settled:
            return 0, 0.0
        memory_mb = siblings * self._guest.memory_mb
        shared_mb = self._sibling_mb if siblings else 0.0
        for uuid in ((instances - settled) | pending) - self._not_booked:
            known = self._board.guest(uuid)
            if known is not None:
                elsewhere = known.host not in (None, host)
                if elsewhere and uuid in counted_on(str(known.host)):
                    continue
                size_mb, key, row = known.memory_mb, known.key, known.row
                profile = known.profile
            else:
                guest = told(uuid)
                if guest is None:
                    continue
                guest = _completed(self._board, guest)
                size_mb, key = guest.memory_mb, guest.scope_key(self._board.scope)
                row, profile = self._row_of(guest), profile_chain(guest)[0]
            memory_mb += size_mb
            if key == self._key:
                shared_mb = max(shared_mb, self._overlap_mb(row, profile))
        return memory_mb, shared_mb

    @functools.cached_property
    def _settled_scores(self) -> dict[str, float]:
        """Of the hosts above 0 while nobody is booked there."""
        host_line, obstacle, fraction = self._board.host, self._obstacle, self._fraction
        return {
            host: fraction(shared_mb)
            for host, shared_mb in self._shared_mb.items()
            if (line := host_line(host)) is not None and obstacle(line, 0) is None
        }

    def _overlap_mb(self, row: int | None, profile: str | None) -> float:
        """What the guest would share with one new guest of its trust scope.

        Of an image that nobody's fingerprint tells of yet it is known that two of
        its guests will hold the same files.
        """
        overlap_mb = 0.0 if row is None else self._overlaps_mb.get(row, 0.0)
        if (
            profile == self._profile
            and is_of_image(self._profile)
            and profile != self.profile
        ):
            overlap_mb = max(overlap_mb, self._board.usual_overlap_mb)
        return overlap_mb

    def _row_of(self, guest: Guest) -> int | None:
        return self._board.row(guest.scope_key(self._board.scope), profile_chain(guest))


def _completed(board: Scoreboard, guest: Guest) -> Guest:
    """The guest with what the board knows of its image."""
    image = None if guest.image is None else board.image(guest.image)
    if image is None:
        return guest
    return dataclasses.replace(
        guest,
        os_distro=guest.os_distro or image.os_distro,
        os_version=guest.os_version or image.os_version,
        base_image=guest.base_image or image.base_image,
    )
