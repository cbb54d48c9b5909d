# SPDX-License-Identifier: Apache-2.0
"""How careful a plan has to be. Values only; whoever asks for a plan sets them."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Thresholds of a plan.

    :ivar max_moves: moves of the whole plan, None for no limit
    :ivar moves_per_host: moves of one wave that a host may be part of, as
        source or as destination
    :ivar min_gain_mb: a move's gain must exceed this, by its lower bound
    :ivar confidence: standard errors below the estimate where the lower bound
        lies; 2.0 holds in 98 of 100 moves
    :ivar cooldown_seconds: a guest stays this long after a migration
    """

    max_moves: int | None = None
    moves_per_host: int = 1
    min_gain_mb: float = 0.0
    confidence: float = 2.0
    cooldown_seconds: float = 0.0
