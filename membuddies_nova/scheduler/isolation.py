# SPDX-License-Identifier: Apache-2.0
"""Keep guests that do not trust each other off one host, where KSM may merge.

KSM knows no tenants: a page that it has merged is slower to write, so a guest can
find out whether another guest of its host holds a page that it knows. Enable the
filter in nova.conf on every nova-scheduler, and restart that::

    [filter_scheduler]
    available_filters = nova.scheduler.filters.all_filters
    available_filters = membuddies_nova.scheduler.isolation.KsmIsolationFilter
    enabled_filters = ..., KsmIsolationFilter

Guests trust each other if their flavors name one ``membuddies:trust_group``, or
if neither names one and they are of one project. Whoever may use a flavor may
join its trust group, so make such flavors private.

Metadata of an aggregate:

``membuddies:trust_group``
    its hosts take only guests of this group, whatever their KSM does.
``membuddies:ksm_free = true``
    you keep KSM off on its hosts. Any guests may meet there as long as the agent
    confirms it (``off`` in ``membuddies host list``).

What a host holds is what Nova's scheduler and the newest scoreboard say, both
together. A guest of which neither knows project and flavor is foreign unless
``[membuddies] isolation_fails_closed`` is off.

No filter of Nova sees a boot or a migration that forces a host, a rebuild, the
start of a guest that was shut off or a resize that is reverted; nor what another
request books on the host at the same time. ``membuddies status`` names the hosts
where guests have met.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import nova.conf
from nova.scheduler import filters, utils

from membuddies_nova.cluster import (
    TRUST_GROUP_KEY,
    KsmState,
    declared_ksm_free,
    told_by,
)
from membuddies_nova.scheduler import local_board, recent, request
from membuddies_nova.scheduler.rare_log import RareLog
from membuddies_nova.scoreboard.board import Scoreboard
from membuddies_nova.scoreboard.tenancy import Isolation

CONF = nova.conf.CONF
RARE_LOG = RareLog(__name__)

_NO_BOARD = Scoreboard.empty().prepared()


class KsmIsolationFilter(filters.BaseHostFilter):
    """Passes hosts that hold no guest of another trust scope, or cannot merge."""

    RUN_ON_REBUILD = False

    # Nova and the board may learn of guests while a large request is placed.
    run_filter_once_per_request = False

    def __init__(self) -> None:
        # Nova makes one filter in its master process, and all threads of each
        # forked worker use it.
        self._boards = local_board.shared()
        self._recent = recent.shared()

    def host_passes(self, host_state: Any, filter_properties: Any) -> bool:
        """Whether one host passes; Nova asks ``filter_all``."""
        return bool(self.filter_all([host_state], filter_properties))

    def filter_all(self, filter_obj_list: Iterable[Any], spec_obj: Any) -> list[Any]:
        """The hosts that pass, in order; prepares a request only once."""
        states = list(filter_obj_list)
        try:
            if utils.request_is_rebuild(spec_obj):
                return states
            judge = _Judge(self._board(), self._recent, spec_obj)
        except Exception as error:  # noqa: BLE001 Nova must place on
            closed = CONF.membuddies.isolation_fails_closed
            RARE_LOG.warning(
                "request",
                "a request cannot be read, so %s host passes: %r",
                "no" if closed else "every",
                error,
            )
            return [] if closed else states
        passed = judge.passing(states)
        if len(passed) < len(states):
            RARE_LOG.info(
                "refused",
                "%d of %d hosts hold, or may hold, guests that guest %s of %s must "
                "not share merged pages with; further requests of this minute are "
                "not logged",
                len(states) - len(passed),
                len(states),
                judge.guest.uuid,
                judge.guest.trust_key,
            )
        return passed

    def _board(self) -> Scoreboard:
        board = self._boards.current()
        if board is not None:
            RARE_LOG.ended("board")
            return board
        RARE_LOG.begins(
            "board",
            "no fresh scoreboard: of guests that Nova has not announced nobody knows "
            "the project, no host counts as free of KSM",
        )
        return _NO_BOARD


class _Judge:
    """Hosts before one request."""

    def __init__(
        self, board: Scoreboard, memory: recent.RecentRequests, spec: Any
    ) -> None:
        self.guest = request.requested_guest(spec)
        self._board = board
        self._memory = memory
        memory.remember(self.guest)
        self._words: dict[tuple[int, ...], tuple[str | None, bool]] = {}
        self._closed: bool = CONF.membuddies.isolation_fails_closed
        self._isolation = Isolation(
            board.tenancy,
            uuid=self.guest.uuid,
            key=self.guest.trust_key,
            unknown_is_foreign=self._closed,
        )

    def passing(self, states: list[Any]) -> list[Any]:
        """Those of the hosts that the guest may go to."""
        passed = []
        for state in states:
            try:
                if self._passes(state):
                    passed.append(state)
            except Exception as error:  # noqa: BLE001 Nova must place on
                RARE_LOG.warning("host", "host %s cannot be judged: %r", state, error)
                if not self._closed:
                    passed.append(state)
        return passed

    def _passes(self, state: Any) -> bool:
        if state.aggregates:
            group, ksm_free = self._word(state.aggregates)
            if group not in (None, self.guest.trust_group):
                return False
            if ksm_free and self._is_off(state.host):
                return True
        # Other threads add to and remove from the mapping: copy() is atomic.
        instances = state.instances.copy()
        told = functools.partial(self._told, instances)
        return self._isolation.is_among_kin(state.host, instances.keys(), told)

    def _word(self, aggregates: list[Any]) -> tuple[str | None, bool]:
        """A trust group and whether KSM is kept off, as a host's aggregates say.

        Nova has one object for an aggregate, whatever host it names.
        """
        members = tuple(map(id, aggregates))
        word = self._words.get(members)
        if word is None:
            word = told_by(aggregates, TRUST_GROUP_KEY), declared_ksm_free(aggregates)
            self._words[members] = word
        return word

    def _told(self, instances: Mapping[str, Any], uuid: str) -> str | None:
        guest = self._memory.guest(uuid)
        if guest is not None:
            return guest.trust_key
        return request.booked_trust_key(instances.get(uuid))

    def _is_off(self, host: str) -> bool:
        line = self._board.host(host)
        return line is not None and line.ksm is KsmState.OFF
