# SPDX-License-Identifier: Apache-2.0
"""How careful a plan has to be. Values only; whoever asks for a plan sets them."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Thresholds of a plan.

    :ivar max_moves: moves of the whole plan, None for no limit
    :ivar moves_per_host: moves of one wave that a host may be part of, as
        source or as destination
    :ivar min_gain_mb: a move's gain must exceed this and the cost of its copy, by
        its lower bound
    :ivar confidence: standard errors below the estimate where the lower bound
        lies; 2.0 holds in 98 of 100 moves
    :ivar copy_hours: hours for which a MB must stay saved to be worth copying one
    :ivar copy_mb_per_second: what a migration copies in a second
    :ivar cooldown_seconds: a guest stays this long after a migration
    :ivar cycle_seconds: a guest does not go back within this time to a host that
        a plan took it from
    :ivar refused_seconds: a guest stays this long after Nova refused to move it
    :ivar pressure: hosts with at least this memory pressure (PSI "some", as a
        fraction) need relief
    :ivar relief_fraction: part of its memory that relief frees of such a host
    :ivar scopes_apart: whether Nova's schedulers run KsmIsolationFilter
    """

    max_moves: int | None = None
    moves_per_host: int = 1
    min_gain_mb: float = 0.0
    confidence: float = 2.0
    copy_hours: float = 0.1
    copy_mb_per_second: float = 100.0
    cooldown_seconds: float = 0.0
    cycle_seconds: float = 7 * 24 * 3600.0
    refused_seconds: float = 24 * 3600.0
    pressure: float = 0.1
    relief_fraction: float = 0.1
    scopes_apart: bool = False
