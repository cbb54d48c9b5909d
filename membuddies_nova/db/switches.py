# SPDX-License-Identifier: Apache-2.0
"""The switch by which an operator pauses all moves.

While it is on the rebalancer starts nothing; what is under way goes on.
"""

import dataclasses

import sqlalchemy
from sqlalchemy.orm import Session

from membuddies_nova.db import models, rows

_PAUSE = "pause"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Who paused the moves, why and when."""

    by: str
    reason: str
    paused_at: float


def pause(session: Session, by: str, reason: str, now: float) -> None:
    """Pause all moves; a second pause gives the new reason."""
    rows.put(
        session, models.Switch, {"name": _PAUSE}, set_by=by, reason=reason, set_at=now
    )


def resume(session: Session) -> bool:
    """Let moves start again, false if they were not paused."""
    switch = sqlalchemy.delete(models.Switch).where(models.Switch.name == _PAUSE)
    return rows.changed(session, switch) > 0


def paused(session: Session) -> Pause | None:
    """The pause that holds, None if moves may start."""
    row = session.get(models.Switch, _PAUSE)
    if row is None:
        return None
    return Pause(by=row.set_by, reason=row.reason, paused_at=row.set_at)
