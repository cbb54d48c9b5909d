# SPDX-License-Identifier: Apache-2.0
"""What the filters would say of each host, where nova-scheduler enables them.

The rules and the scoreboard are the filters' own; what Nova's scheduler alone knows,
such as guests booked since the inventory was read, is left out.
"""

import math
from collections.abc import Iterable

from oslo_config import cfg

from membuddies_nova.cluster import Guest, Host, KsmState
from membuddies_nova.conf import scheduler as scheduler_options
from membuddies_nova.scoreboard.board import Scoreboard
from membuddies_nova.scoreboard.headroom import Limits, headroom_mb
from membuddies_nova.scoreboard.tenancy import Isolation

ISOLATION = "KsmIsolationFilter"
PRESSURE = "MemoryPressureFilter"


class Refusals:
    """Judges hosts for one guest.

    :param hosts: of the inventory, with what their aggregates say
    :param conf: whose ``[membuddies]`` holds the filters' limits, as nova.conf does
    """

    def __init__(
        self,
        board: Scoreboard,
        guest: Guest,
        hosts: Iterable[Host],
        conf: cfg.ConfigOpts,
    ) -> None:
        scheduler_options.register(conf)
        options = conf[scheduler_options.GROUP]
        self._board = board
        self._guest = guest
        self._hosts = {host.name: host for host in hosts}
        self._isolation = Isolation(
            board.tenancy,
            uuid=guest.uuid,
            key=guest.trust_key,
            trust_group=guest.trust_group,
            unknown_is_foreign=options.isolation_fails_closed,
        )
        self._headroom_mb = headroom_mb(board, Limits.of(options))

    def of(self, host: str) -> dict[str, str]:
        """Why filters would refuse a host, by the filter's name."""
        found = {ISOLATION: self._strangers(host), PRESSURE: self._shortage(host)}
        return {name: why for name, why in found.items() if why is not None}

    def _strangers(self, name: str) -> str | None:
        host, line = self._hosts.get(name), self._board.host(name)
        if host is not None and not self._isolation.may_use(host.trust_group):
            return f"it takes only guests of the trust group {host.trust_group}"
        if (
            host is not None
            and host.ksm_free
            and line is not None
            and line.ksm is KsmState.OFF
        ):
            return None
        present = self._board.tenancy.present(name)
        if self._isolation.is_among_kin(name, present, lambda _: None):
            return None
        return f"guests there do not belong to {self._guest.trust_key}"

    def _shortage(self, name: str) -> str | None:
        room_mb = self._headroom_mb.get(name, math.inf)
        if room_mb == -math.inf:
            return "its memory pressure or swap-in rate is over the limit"
        if self._guest.memory_mb <= room_mb:
            return None
        return (
            f"{max(math.floor(room_mb), 0)} MB are left for guests if merged pages "
            f"come apart"
        )
