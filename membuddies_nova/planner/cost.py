# SPDX-License-Identifier: Apache-2.0
"""What a move costs, and how long what it saves will last.

A migration copies the guest's memory while the guest goes on changing it, so
that parts are copied again. What it saves lasts as long as the guest lives and
its pages hold still: a guest is expected to live about as long again as it has
(lifetimes of guests are heavy-tailed; see Cortez et al., "Resource Central",
SOSP 2017), and content that changes by a part in an hour lasts hours / part.
Benefit and cost are both memory x time, so a move has to save
``copied x copy_hours / lasting hours`` to be even.
"""

import math

from membuddies_nova.cluster import Guest
from membuddies_nova.planner.limits import Limits

_SECONDS_AN_HOUR = 3600.0
_LEAST_MB = 4e-6


def lasting_hours(guest: Guest) -> float:
    """How long a saving is expected to last, infinite where nothing is known."""
    hours = math.inf
    if guest.age_seconds is not None:
        hours = guest.age_seconds / _SECONDS_AN_HOUR
    if guest.change_fraction_per_hour:
        hours = min(hours, 1.0 / guest.change_fraction_per_hour)
    return hours


def changed_mb_per_second(guest: Guest, resident_mb: float) -> float:
    """How fast a guest changes its memory."""
    return (guest.change_fraction_per_hour or 0.0) * resident_mb / _SECONDS_AN_HOUR


def copy_mb(guest: Guest, resident_mb: float, limits: Limits) -> float:
    """What a migration copies: the memory, and what changes meanwhile, and so on.

    A geometric series; a guest that changes about as fast as it can be copied, or
    faster, counts as a hundred times its memory.
    """
    again = changed_mb_per_second(guest, resident_mb) / limits.copy_mb_per_second
    return resident_mb / max(1.0 - again, 0.01)


def least_gain_mb(guest: Guest, resident_mb: float, limits: Limits) -> float:
    """What a move of the guest must save, by its lower bound, to be worth it.

    Never nothing: of two plans that save the same, that with fewer moves is better.
    """
    least_mb = max(limits.min_gain_mb, _LEAST_MB)
    hours = max(lasting_hours(guest), 1.0 / _SECONDS_AN_HOUR)
    return least_mb + copy_mb(guest, resident_mb, limits) * limits.copy_hours / hours
