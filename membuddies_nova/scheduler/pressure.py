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

import math
from collections.abc import Iterable, Mapping
from typing import Any

import nova.conf
from nova.scheduler import filters, utils

from membuddies_nova.scheduler import local_board, recent, request
from membuddies_nova.scheduler.rare_log import RareLog
from membuddies_nova.scoreboard.board import Scoreboard

CONF = nova.conf.CONF
RARE_LOG = RareLog(__name__)


class MemoryPressureFilter(filters.BaseHostFilter):
    """Passes hosts that hold their guests even if some merged pages come apart."""

    RUN_ON_REBUILD = False

    # Each guest of a request that is booked takes memory from the next.
    run_filter_once_per_request = False

    def __init__(self) -> None:
        # Nova makes one filter in its master process, and all threads of each
        # forked worker use it.
        self._boards = local_board.shared()
        self._recent = recent.shared()
        self._held: tuple[Scoreboard, object, Mapping[str, float]] | None = None

    def host_passes(self, host_state: Any, filter_properties: Any) -> bool:
        """Whether one host passes; Nova asks ``filter_all``."""
        return bool(self.filter_all([host_state], filter_properties))

    def filter_all(self, filter_obj_list: Iterable[Any], spec_obj: Any) -> list[Any]:
        """The hosts that pass, in order; prepares a request only once."""
        states = list(filter_obj_list)
        try:
            board = self._boards.current()
            if board is None:
                RARE_LOG.begins("board", "no fresh scoreboard, so every host passes")
                return states
            RARE_LOG.ended("board")
            if utils.request_is_rebuild(spec_obj):
                return states
            judge = _Judge(board, self._headroom_mb(board), self._recent, spec_obj)
        except Exception as error:  # noqa: BLE001 Nova must place on
            RARE_LOG.warning(
                "request", "a request cannot be read, so every host passes: %r", error
            )
            return states
        passed = judge.passing(states)
        if len(passed) < len(states):
            RARE_LOG.info(
                "refused",
                "%d of %d hosts are too short of memory for guest %s of %d MB; "
                "further requests of this minute are not logged",
                len(states) - len(passed),
                len(states),
                judge.guest.uuid,
                judge.guest.memory_mb,
            )
        if judge.unknown_host is None:
            RARE_LOG.ended("unknown")
        else:
            RARE_LOG.begins(
                "unknown",
                "nothing is known of the memory of host %s, and perhaps others: "
                "they pass; is their agent alive (membuddies status)?",
                judge.unknown_host,
            )
        return passed

    def _headroom_mb(self, board: Scoreboard) -> Mapping[str, float]:
        """What each host may take in MB; made anew for a board or other options."""
        options = CONF.membuddies
        limits = (
            options.unshare_fraction,
            options.memory_pressure_limit,
            options.swap_in_limit_pages_per_second,
        )
        # One tuple, so that a thread sees a table with its own board and limits.
        held = self._held
        if held is None or held[0] is not board or held[1] != limits:
            self._held = held = (board, limits, _headroom_mb(board, *limits))
        return held[2]


def _headroom_mb(
    board: Scoreboard,
    unshare_fraction: float,
    pressure_limit: float,
    swap_in_limit: float,
) -> dict[str, float]:
    """Memory for new guests on each host in MB.

    Less than none where a limit is exceeded; hosts of unknown memory are left out.
    """
    headroom: dict[str, float] = {}
    for host in board.hosts:
        line = board.host(host)
        if line is None:
            continue
        if (line.pressure or 0.0) > pressure_limit or (
            line.swap_in_pages_per_second or 0
        ) > swap_in_limit:
            headroom[host] = -math.inf
        elif line.available_mb is not None:
            lent_mb = unshare_fraction * (line.sharing_mb or 0)
            headroom[host] = line.available_mb - lent_mb - board.pending_mb(host)
    return headroom


class _Judge:
    """Hosts before one request.

    :ivar unknown_host: one of whose memory nothing is known, None if there is none
    """

    def __init__(
        self,
        board: Scoreboard,
        headroom_mb: Mapping[str, float],
        memory: recent.RecentRequests,
        spec: Any,
    ) -> None:
        self.guest = request.requested_guest(spec)
        self.unknown_host: str | None = None
        self._board = board
        self._memory = memory
        memory.remember(self.guest)
        self._asked = request.asked_uuids(spec)
        self._headroom_mb = headroom_mb

    def passing(self, states: list[Any]) -> list[Any]:
        """Those of the hosts that can take the guest."""
        passed = []
        for state in states:
            try:
                if self._passes(state):
                    passed.append(state)
            except Exception as error:  # noqa: BLE001 Nova must place on
                RARE_LOG.warning("host", "host %s passes unjudged: %r", state, error)
                passed.append(state)
        return passed

    def _passes(self, state: Any) -> bool:
        headroom_mb = self._headroom_mb.get(state.host)
        if headroom_mb is None:
            self.unknown_host = state.host
            return True
        # Other threads add to and remove from the mapping: copy() is atomic.
        instances = state.instances.copy()
        present = self._board.tenancy.present(state.host)
        if not instances.keys() <= present:
            # Guests that Nova counts there and the board does not.
            newer = instances.keys() - present - self._asked
            headroom_mb -= sum(self._size_mb(uuid, instances) for uuid in newer)
        return self.guest.memory_mb * (1 + request.siblings(state)) <= headroom_mb

    def _size_mb(self, uuid: str, instances: Mapping[str, Any]) -> int:
        """A guest's memory, 0 if nobody told."""
        known = self._board.guest(uuid)
        if known is not None:
            return known.memory_mb
        guest = self._memory.guest(uuid) or request.booked_guest(uuid, instances[uuid])
        return guest.memory_mb
