# SPDX-License-Identifier: Apache-2.0
"""Turn away hosts whose memory would not do if merged pages came apart.

Memory that KSM saves is lent: guests that write to their shared pages take it
back within seconds. Enable the filter in nova.conf on every nova-scheduler, and
restart that::

    [filter_scheduler]
    available_filters = nova.scheduler.filters.all_filters
    available_filters = membuddies_nova.scheduler.pressure.MemoryPressureFilter
    enabled_filters = ..., MemoryPressureFilter

A host passes if its MemAvailable, less what was booked there since it was
measured, holds the whole guest and ``[membuddies] unshare_fraction`` of what KSM
saves there now, and if neither its memory pressure (PSI) nor the rate at which it
swaps in is over a limit. What is not known of a host turns it away from nobody: a
kernel without PSI, an agent that has not reported, a controller that is away.
"""

from collections.abc import Mapping
from typing import Any

import nova.conf

from membuddies_nova.scheduler import host_filter, recent, request
from membuddies_nova.scheduler.rare_log import RareLog
from membuddies_nova.scoreboard.board import Scoreboard
from membuddies_nova.scoreboard.headroom import Limits, headroom_mb

CONF = nova.conf.CONF


class MemoryPressureFilter(host_filter.HostFilter):
    """Passes hosts that hold their guests even if some merged pages come apart."""

    def __init__(self) -> None:
        super().__init__()
        self._held: tuple[Scoreboard, Limits, Mapping[str, float]] | None = None

    def _judge(self, spec: Any) -> host_filter.Judge | None:
        board = self._boards.current()
        if board is None:
            self._log.begins("board", "no fresh scoreboard, so every host passes")
            return None
        self._log.ended("board")
        return _Judge(board, self._headroom_mb(board), self._recent, spec, self._log)

    def _headroom_mb(self, board: Scoreboard) -> Mapping[str, float]:
        """What each host may take; made anew for a board or other options."""
        limits = Limits.of(CONF.membuddies)
        # One tuple, so that a thread sees a table with its own board and limits.
        held = self._held
        if held is None or held[0] is not board or held[1] != limits:
            self._held = held = (board, limits, headroom_mb(board, limits))
        return held[2]


class _Judge(host_filter.Judge):
    def __init__(
        self,
        board: Scoreboard,
        headroom_mb: Mapping[str, float],
        memory: recent.RecentRequests,
        spec: Any,
        log: RareLog,
    ) -> None:
        super().__init__(memory, spec)
        self._board = board
        self._headroom_mb = headroom_mb
        self._memory = memory
        self._asked = request.asked_uuids(spec)
        self._log = log
        self._unknown_host: str | None = None

    def passes(self, state: Any) -> bool:
        host = state.host
        headroom_mb = self._headroom_mb.get(host)
        if headroom_mb is None:
            self._unknown_host = host
            return True
        # Other threads add to and remove from the mapping: tuple() is atomic.
        instances = tuple(state.instances)
        tenancy = self._board.tenancy
        if not tenancy.places(host, instances):
            newer = set(instances) - tenancy.present(host) - self._asked
            headroom_mb -= sum(self._size_mb(uuid, state.instances) for uuid in newer)
        return self.guest.memory_mb * (1 + request.siblings(state)) <= headroom_mb

    def complaint(self) -> str:
        return f"are too short of memory for {self.guest.memory_mb} MB more"

    def finish(self) -> None:
        if self._unknown_host is None:
            self._log.ended("unknown")
            return
        self._log.begins(
            "unknown",
            "nothing is known of the memory of host %s, and perhaps others: they "
            "pass; is their agent alive (membuddies status)?",
            self._unknown_host,
        )

    def _size_mb(self, uuid: str, instances: Mapping[str, Any]) -> int:
        """A guest's memory, 0 if nobody told."""
        known = self._board.guest(uuid)
        if known is not None:
            return known.memory_mb
        guest = self._memory.guest(uuid)
        return (guest or request.booked_guest(uuid, instances.get(uuid))).memory_mb
