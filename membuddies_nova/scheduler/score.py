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
            state.host, instances.keys(), request.siblings(state), told
        ).score
