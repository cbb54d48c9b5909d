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

from typing import Any

from membuddies_nova.cluster import Guest
from membuddies_nova.scheduler import request
from membuddies_nova.scoreboard.board import Scoreboard, profile_chain

_FIRST_COUNT = "membuddies_first_num_instances"


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
        host = self._board.host(state.host)
        if host is None or not host.ksm.promises_merging:
            return 0.0
        booked_mb, shared_mb = self._booked(state)
        memory_mb = self._guest.memory_mb
        available_mb = 0 if host.available_mb is None else host.available_mb
        if not 0 < memory_mb <= available_mb - booked_mb:
            return 0.0
        shared_mb = max(shared_mb, self._shared_mb.get(state.host, 0.0))
        return min(shared_mb / memory_mb, 1.0)

    def _booked(self, state: Any) -> tuple[int, float]:
        """What the board's numbers of the host do not show yet.

        :returns: memory of the guests booked there in MB; what the guest is
            expected to share with one of them in MB
        """
        memory_mb = 0
        shared_mb = 0.0
        siblings = self._siblings(state)
        if siblings:
            memory_mb = siblings * self._guest.memory_mb
            if self._row is not None:
                shared_mb = self._overlaps_mb.get(self._row, 0.0)
        # Other threads add to and remove from the mapping: copy() is atomic.
        instances = state.instances.copy()
        uuids = instances.keys() - self._board.settled(state.host)
        for uuid in uuids | self._board.pending(state.host):
            if uuid == self._guest.uuid:
                continue
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
        return memory_mb, shared_mb

    def _siblings(self, state: Any) -> int:
        """Guests of this request that were booked on the host before this one.

        Nova makes HostStates anew for every request and counts them up as it
        books, so the first count that is seen is the one before the request.
        """
        first: int = vars(state).setdefault(_FIRST_COUNT, state.num_instances)
        return max(state.num_instances - first, 0)

    def _row_of(self, guest: Guest) -> int | None:
        return self._board.row(guest.scope_key(self._board.scope), profile_chain(guest))
