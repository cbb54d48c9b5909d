# SPDX-License-Identifier: Apache-2.0
"""What memory a host has for new guests if some of its merged pages come apart.

For MemoryPressureFilter, and for ``membuddies explain``, which tells an operator
what that filter would say.
"""

import math
from typing import Any, NamedTuple, Self

from membuddies_nova.scoreboard.board import Scoreboard


class Limits(NamedTuple):
    """What a host must keep; the options of ``[membuddies]`` have these meanings.

    :ivar unshare_fraction: of what KSM saves there, to be kept free
    :ivar pressure: PSI memory "some" avg60 as a fraction
    """

    unshare_fraction: float
    pressure: float
    swap_in_pages_per_second: float

    @classmethod
    def of(cls, options: Any) -> Self:
        """As a group ``[membuddies]`` of options has them."""
        return cls(
            options.unshare_fraction,
            options.memory_pressure_limit,
            options.swap_in_limit_pages_per_second,
        )


def headroom_mb(board: Scoreboard, limits: Limits) -> dict[str, float]:
    """Memory for new guests on each host in MB, less what the board shows as booked.

    Less than none where a limit is exceeded; hosts of unknown memory are left out.
    """
    headroom: dict[str, float] = {}
    for host in board.hosts:
        line = board.host(host)
        assert line is not None, "a host of the board is on the board"
        if (line.pressure or 0.0) > limits.pressure or (
            line.swap_in_pages_per_second or 0
        ) > limits.swap_in_pages_per_second:
            headroom[host] = -math.inf
        elif line.available_mb is not None:
            lent_mb = limits.unshare_fraction * (line.sharing_mb or 0)
            headroom[host] = line.available_mb - lent_mb - board.pending_mb(host)
    return headroom
