# SPDX-License-Identifier: Apache-2.0
"""The frame of our filters: a request is read once, then judges host after host.

Whatever goes wrong, Nova's filter chain goes on: what cannot be read or judged
passes, or is refused where the filter fails closed, with at most one line a minute.
"""

import abc
from collections.abc import Iterable
from typing import Any

from nova.scheduler import filters, utils

from membuddies_nova.scheduler import local_board, recent, request
from membuddies_nova.scheduler.rare_log import RareLog


class Judge(abc.ABC):
    """Judges hosts for one request.

    :param memory: what earlier requests told of their guests
    :param spec: nova.objects.RequestSpec
    :ivar guest: the one that the request is for
    """

    def __init__(self, memory: recent.RecentRequests, spec: Any) -> None:
        self.guest = request.requested_guest(spec)
        memory.remember(self.guest)

    @abc.abstractmethod
    def passes(self, state: Any) -> bool:
        """Whether a host may take the guest; may raise.

        :param state: nova.scheduler.host_manager.HostState
        """

    @abc.abstractmethod
    def complaint(self) -> str:
        """What is wrong with the hosts that do not pass."""

    def finish(self) -> None:  # noqa: B027 most have nothing to say
        """All hosts have been judged."""


class HostFilter(filters.BaseHostFilter, abc.ABC):
    """Turns hosts away by what the scoreboard says of them."""

    RUN_ON_REBUILD = False

    # Nova and the board may learn of guests while a large request is placed, and
    # each guest of it that is booked counts for the next.
    run_filter_once_per_request = False

    def __init__(self) -> None:
        # Nova makes one filter in its master process, and all threads of each
        # forked worker use it.
        self._boards = local_board.shared()
        self._recent = recent.shared()
        self._log = RareLog(type(self).__module__)

    def host_passes(self, host_state: Any, filter_properties: Any) -> bool:
        """Whether one host passes; Nova asks ``filter_all``."""
        return bool(self.filter_all([host_state], filter_properties))

    def filter_all(self, filter_obj_list: Iterable[Any], spec_obj: Any) -> list[Any]:
        """The hosts that pass, in order; prepares a request only once."""
        states = list(filter_obj_list)
        closed = self._fails_closed()
        try:
            if utils.request_is_rebuild(spec_obj):
                return states
            judge = self._judge(spec_obj)
            if judge is None:
                return states
        except Exception as error:  # noqa: BLE001 Nova must place on
            self._log.warning(
                "request",
                "a request cannot be read, so %s host passes: %r",
                "no" if closed else "every",
                error,
            )
            return [] if closed else states
        passed = []
        for state in states:
            try:
                if judge.passes(state):
                    passed.append(state)
            except Exception as error:  # noqa: BLE001 Nova must place on
                self._log.warning(
                    "host",
                    "host %s cannot be judged, so it %s: %r",
                    state,
                    "is refused" if closed else "passes",
                    error,
                )
                if not closed:
                    passed.append(state)
        judge.finish()
        if len(passed) < len(states):
            self._log.info(
                "refused",
                "%d of %d hosts %s (guest %s); further requests of this minute are "
                "not logged",
                len(states) - len(passed),
                len(states),
                judge.complaint(),
                judge.guest.uuid,
            )
        return passed

    @abc.abstractmethod
    def _judge(self, spec: Any) -> Judge | None:
        """The judge of a request, None if every host passes; may raise."""

    def _fails_closed(self) -> bool:
        """Whether what cannot be read or judged is refused."""
        return False
