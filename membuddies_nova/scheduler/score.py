# SPDX-License-Identifier: Apache-2.0
"""Nova's host states held against a request, by :mod:`membuddies_nova.scoreboard`.

What Nova alone knows of a host at this moment is added: the instances that it
counts there, and the guests of the same request that it has booked already. Of an
instance that the board does not know its own request tells, if it passed through
here, else what Nova holds of it.
"""

import functools
from collections.abc import Container, Sequence
from typing import Any

from membuddies_nova.cluster import Guest
from membuddies_nova.scheduler import recent, request
from membuddies_nova.scoreboard import score
from membuddies_nova.scoreboard.board import Scoreboard


class RequestScorer:
    """Scores hosts for one request; lives as long as the request.

    :param memory: what earlier requests told of their guests
    :param spec: nova.objects.RequestSpec
    :param states: of the hosts that are left, nova.scheduler.host_manager.HostState
    """

    def __init__(
        self,
        board: Scoreboard,
        memory: recent.RecentRequests,
        spec: Any,
        states: Sequence[Any],
    ) -> None:
        guest = request.requested_guest(spec)
        self._memory = memory
        self._states = states
        memory.remember(guest)
        self._scorer = score.Scorer(board, guest, request.asked_uuids(spec))

    def score(self, state: Any) -> float:
        """The expected shared fraction of the guest's memory, 0 to 1.

        :param state: nova.scheduler.host_manager.HostState
        """
        # Other threads add to and remove from the mapping: tuple() is atomic.
        instances = tuple(state.instances)
        siblings = request.siblings(state)
        if not siblings:
            found = self._scorer.settled_score(state.host, instances)
            if found is not None:
                return found

        def told(uuid: str) -> Guest:
            guest = self._memory.guest(uuid)
            return guest or request.booked_guest(uuid, state.instances.get(uuid))

        return self._scorer.judge(
            state.host, set(instances), siblings, told, self._counted_on
        ).score

    def _counted_on(self, host: str) -> Container[str]:
        return self._instances_by_host.get(host, ())

    @functools.cached_property
    def _instances_by_host(self) -> dict[str, Container[str]]:
        return {state.host: state.instances for state in self._states}
