# SPDX-License-Identifier: Apache-2.0
"""One request against the hosts: the expected shared fraction of its memory.

A guest that the board knows by its own fingerprint (a move) is scored by that;
any other by the first of its profiles that its trust scope has learned: its
image, its OS distribution and flavor, its project. Guests that were booked on a
host lately, and have no fingerprint yet, count with their profiles. Of the
host's guests and the booked ones the better counts alone: their pages are
mostly the same ones, so a sum would promise too much.

A host scores 0 if its KSM promises nothing, or if its available memory, less
what was booked since it was measured, cannot take the whole guest unshared.
"""

import dataclasses
from typing import Any

from membuddies_nova.cluster import Guest
from membuddies_nova.scheduler import request
from membuddies_nova.scoreboard import Scoreboard, profile_chain

_FIRST_COUNT = "membuddies_first_num_instances"


@dataclasses.dataclass(frozen=True, slots=True)
class Booked:
    """Guests booked on a host that the host's own measurements do not show."""

    memory_mb: int
    shared_mb: float


class Scorer:
    """Scores hosts for one request; lives as long as the request.

    :param spec: nova.objects.RequestSpec
    """

    def __init__(self, board: Scoreboard, spec: Any) -> None:
        self._board = board
        self._guest = request.requested_guest(spec)
        self._key = self._guest.scope_key(board.scope)
        known = board.guest(self._guest.uuid)
        self._shared_mb: dict[str, float] = {}
        self._row = self._row_of(self._guest)
        if known is not None and known.key == self._key:
            self._shared_mb = board.own_shared_mb(known)
            # Nova tells no image of a guest that booted from a volume.
            self._row = self._row if known.row is None else known.row
        self._overlaps_mb: dict[int, float] = {}
        if self._row is not None:
            self._shared_mb = self._shared_mb or board.shared_mb(self._row)
            self._overlaps_mb = board.overlaps_mb(self._row)

    def score(self, state: Any) -> float:
        """The expected shared fraction of the guest's memory, 0 to 1.

        :param state: nova.scheduler.host_manager.HostState
        """
        memory_mb = self._guest.memory_mb
        host = self._board.host(state.host)
        booked = self._booked(state)
        if (
            memory_mb <= 0
            or host is None
            or not host.ksm.promises_merging
            or host.available_mb is None
            or host.available_mb - booked.memory_mb < memory_mb
        ):
            return 0.0
        shared_mb = max(self._shared_mb.get(state.host, 0.0), booked.shared_mb)
        return min(shared_mb / memory_mb, 1.0)

    def _booked(self, state: Any) -> Booked:
        # Other threads add to and remove from the mapping: copy() is atomic.
        instances = state.instances.copy()
        uuids = instances.keys() - self._board.settled(state.host)
        uuids |= self._board.pending(state.host)
        uuids.discard(self._guest.uuid)
        memory_mb = 0
        shared_mb = 0.0
        for uuid in uuids:
            known = self._board.guest(uuid)
            if known is not None:
                size_mb, key, row = known.memory_mb, known.key, known.row
            else:
                guest = request.booked_guest(uuid, instances[uuid])
                size_mb, key = guest.memory_mb, guest.scope_key(self._board.scope)
                row = self._row_of(guest)
            memory_mb += size_mb
            if key == self._key and row is not None:
                shared_mb = max(shared_mb, self._overlaps_mb.get(row, 0.0))
        siblings = self._siblings(state)
        if siblings and self._row is not None:
            memory_mb += siblings * self._guest.memory_mb
            shared_mb = max(shared_mb, self._overlaps_mb.get(self._row, 0.0))
        return Booked(memory_mb, shared_mb)

    def _siblings(self, state: Any) -> int:
        """Guests of this request that were booked on the host before this one.

        Nova makes HostStates anew for every request and counts them up as it
        books, so the first count that is seen is the one before the request.
        """
        first: int = vars(state).setdefault(_FIRST_COUNT, state.num_instances)
        return max(state.num_instances - first, 0)

    def _row_of(self, guest: Guest) -> int | None:
        return self._board.row(guest.scope_key(self._board.scope), profile_chain(guest))
