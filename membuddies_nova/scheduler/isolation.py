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
request has booked on the host, before nova-compute announces it: when the guest has
been spawned, or its live migration has ended. ``membuddies status`` names the hosts
where guests have met.
"""

import functools
from collections.abc import Mapping
from typing import Any

import nova.conf

from membuddies_nova.cluster import (
    TRUST_GROUP_KEY,
    KsmState,
    declared_ksm_free,
    told_by,
)
from membuddies_nova.scheduler import host_filter, recent, request
from membuddies_nova.scoreboard.board import Scoreboard
from membuddies_nova.scoreboard.tenancy import Isolation

CONF = nova.conf.CONF

_NO_BOARD = Scoreboard.empty().prepared()


class KsmIsolationFilter(host_filter.HostFilter):
    """Passes hosts that hold no guest of another trust scope, or cannot merge."""

    def _judge(self, spec: Any) -> host_filter.Judge:
        board = self._boards.current()
        if board is None:
            board = _NO_BOARD
            self._log.begins(
                "board",
                "no fresh scoreboard: of guests that Nova has not announced nobody "
                "knows the project, no host counts as free of KSM",
            )
        else:
            self._log.ended("board")
        return _Judge(board, self._recent, spec, closed=self._fails_closed())

    def _fails_closed(self) -> bool:
        return bool(CONF.membuddies.isolation_fails_closed)


class _Judge(host_filter.Judge):
    def __init__(
        self,
        board: Scoreboard,
        memory: recent.RecentRequests,
        spec: Any,
        *,
        closed: bool,
    ) -> None:
        super().__init__(memory, spec)
        self._board = board
        self._memory = memory
        self._words: dict[tuple[int, ...], tuple[str | None, bool]] = {}
        self._isolation = Isolation(
            board.tenancy,
            uuid=self.guest.uuid,
            key=self.guest.trust_key,
            trust_group=self.guest.trust_group,
            unknown_is_foreign=closed,
        )

    def passes(self, state: Any) -> bool:
        host = state.host
        if state.aggregates:
            reserved_for, ksm_free = self._word(state.aggregates)
            if not self._isolation.may_use(reserved_for):
                return False
            if ksm_free and self._is_off(host):
                return True
        # Other threads add to and remove from the mapping: tuple() is atomic.
        instances = tuple(state.instances)
        if self._isolation.holds_only_kin(host, instances):
            return True
        told = functools.partial(self._told, state.instances)
        return self._isolation.is_among_kin(host, set(instances), told)

    def complaint(self) -> str:
        return (
            "hold, or may hold, guests that must not share merged pages with those "
            f"of {self.guest.trust_key}"
        )

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
