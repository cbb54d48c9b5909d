# SPDX-License-Identifier: Apache-2.0
"""Nova's host states held against a request, by :mod:`membuddies_nova.scoreboard`.

What Nova alone knows of a host at this moment is added: the instances that it
counts there, and the guests of the same request that it has booked already.
"""

from typing import Any

from membuddies_nova.cluster import Guest
from membuddies_nova.scheduler import request
from membuddies_nova.scoreboard import score
from membuddies_nova.scoreboard.board import Scoreboard

_FIRST_COUNT = "membuddies_first_num_instances"


class RequestScorer:
    """Scores hosts for one request; lives as long as the request.

    :param spec: nova.objects.RequestSpec
    """

    def __init__(self, board: Scoreboard, spec: Any) -> None:
        self._scorer = score.Scorer(board, request.requested_guest(spec))

    def score(self, state: Any) -> float:
        """The expected shared fraction of the guest's memory, 0 to 1.

        :param state: nova.scheduler.host_manager.HostState
        """
        # Other threads add to and remove from the mapping: copy() is atomic.
        instances = state.instances.copy()

        def told(uuid: str) -> Guest:
            return request.booked_guest(uuid, instances[uuid])

        return self._scorer.judge(
            state.host, instances.keys(), _siblings(state), told
        ).score


def _siblings(state: Any) -> int:
    """Guests of this request that were booked on the host before this one.

    Nova makes HostStates anew for every request and counts them up as it books, so
    the first count that is seen is the one before the request.
    """
    first: int = vars(state).setdefault(_FIRST_COUNT, state.num_instances)
    return max(state.num_instances - first, 0)
