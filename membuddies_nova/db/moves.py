# SPDX-License-Identifier: Apache-2.0
"""The moves of plans, and how far each has come.

Written by rebalancers, of which several may be at one move: every change names
the states that it expects, and tells whether it happened.

    planned -> claimed -> unknown -> running -> done | failed | cancelled
    and from planned or claimed: skipped, cancelled
"""

import dataclasses
import uuid
from collections.abc import Collection, Iterable

import sqlalchemy
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from membuddies_nova.db import models, rows, values
from membuddies_nova.plan import Move

OPEN = frozenset({"claimed", "unknown", "running"})
"""States in which a move is somebody's, and Nova may be at it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MoveRecord:
    """A move of a plan and how far it has come.

    :ivar position: its place among the plan's moves, from 0
    :ivar holder: the process that last claimed it
    :ivar requested_at: since when Nova may have been asked
    :ivar baseline_id: newest migration record of the guest before that
    :ivar migration_id: Nova's record of this migration
    :ivar detail: why it ended so
    """

    id: str
    plan_id: str
    position: int
    move: Move
    state: str
    holder: str | None
    claimed_at: float | None
    requested_at: float | None
    finished_at: float | None
    baseline_id: int | None
    migration_id: int | None
    detail: str


def create(session: Session, plan_id: str, moves: Iterable[Move]) -> None:
    """Keep a plan's migrations as moves that nobody has begun.

    The first placement of a guest is Nova's, so it gets no row.
    """
    session.add_all(
        models.Move(
            id=str(uuid.uuid4()),
            plan_id=plan_id,
            position=position,
            guest=move.guest,
            source=move.source,
            destination=move.destination,
            state="planned",
            detail="",
            move=dataclasses.asdict(move),
        )
        for position, move in enumerate(moves)
        if move.source is not None
    )
    session.flush()


def replace_planned(session: Session, plan_id: str, moves: Iterable[Move]) -> None:
    """Keep a plan's moves anew, of which nobody has begun one."""
    rows.changed(
        session,
        delete(models.Move).where(
            models.Move.plan_id == plan_id, models.Move.state == "planned"
        ),
    )
    create(session, plan_id, moves)


def of_plan(session: Session, plan_id: str) -> list[MoveRecord]:
    """A plan's moves in their order."""
    return _records(
        session,
        select(models.Move)
        .where(models.Move.plan_id == plan_id)
        .order_by(models.Move.position),
    )


def still_open(session: Session) -> list[MoveRecord]:
    """The moves of all plans that are somebody's, oldest claim first."""
    return _records(
        session,
        select(models.Move)
        .where(models.Move.state.in_(OPEN))
        .order_by(models.Move.claimed_at, models.Move.id),
    )


def finished(session: Session, since: float, limit: int) -> list[MoveRecord]:
    """The moves that ended at or after a moment, the newest first."""
    return _records(
        session,
        select(models.Move)
        .where(models.Move.finished_at >= since)
        .order_by(models.Move.finished_at.desc(), models.Move.id)
        .limit(limit),
    )


def latest_outcomes(session: Session, limit: int) -> list[str]:
    """``done`` or ``failed`` of the moves that ended last, the newest first."""
    found = session.scalars(
        select(models.Move.state)
        .where(models.Move.state.in_(("done", "failed")))
        .order_by(models.Move.finished_at.desc(), models.Move.id)
        .limit(limit)
    )
    return list(found)


def claim(
    session: Session,
    move_id: str,
    *,
    holder: str,
    now: float,
    expected: Collection[str] = ("planned",),
) -> bool:
    """Make a move ours, false if another was faster."""
    return _change(
        session,
        move_id,
        expected,
        None,
        {"state": "claimed", "holder": holder, "claimed_at": now},
    )


def take_over(
    session: Session, move_id: str, *, from_holder: str | None, holder: str
) -> bool:
    """Make an open move of another process ours, false if it is not its any more."""
    return _change(session, move_id, OPEN, from_holder, {"holder": holder})


def progress(
    session: Session,
    move_id: str,
    *,
    holder: str,
    expected: Collection[str],
    state: str,
    now: float,
    migration_id: int | None = None,
    baseline_id: int | None = None,
    detail: str = "",
) -> bool:
    """Write down how far our move has come, false if it is not ours any more.

    :param state: ``unknown`` sets ``requested_at``
    :param migration_id: None leaves what is there, ``baseline_id`` likewise
    """
    news: dict[str, object] = {"state": state, "detail": detail}
    if state == "unknown":
        news["requested_at"] = now
    if migration_id is not None:
        news["migration_id"] = migration_id
    if baseline_id is not None:
        news["baseline_id"] = baseline_id
    return _change(session, move_id, expected, holder, news)


def finish(
    session: Session,
    move_id: str,
    *,
    expected: Collection[str],
    state: str,
    detail: str,
    now: float,
    holder: str | None = None,
) -> bool:
    """End a move, false if its state or holder is not what was expected.

    :param holder: None for a move that is nobody's
    """
    return _change(
        session,
        move_id,
        expected,
        holder,
        {"state": state, "detail": detail, "finished_at": now},
    )


def _change(
    session: Session,
    move_id: str,
    expected: Collection[str],
    holder: str | None,
    news: dict[str, object],
) -> bool:
    """Compare and set a move's row; a holder of None is not compared."""
    statement = update(models.Move).where(
        models.Move.id == move_id, models.Move.state.in_(expected)
    )
    if holder is not None:
        statement = statement.where(models.Move.holder == holder)
    return rows.changed(session, statement.values(**news)) > 0


def cancel_planned(session: Session, plan_id: str, detail: str, now: float) -> None:
    """End a plan's moves that nobody has begun."""
    rows.changed(
        session,
        update(models.Move)
        .where(models.Move.plan_id == plan_id, models.Move.state == "planned")
        .values(state="cancelled", detail=detail, finished_at=now),
    )


def _records(
    session: Session, statement: sqlalchemy.Select[tuple[models.Move]]
) -> list[MoveRecord]:
    found = session.scalars(statement.execution_options(populate_existing=True))
    return [
        MoveRecord(
            id=row.id,
            plan_id=row.plan_id,
            position=row.position,
            move=values.move_from_json(row.move),
            state=row.state,
            holder=row.holder,
            claimed_at=row.claimed_at,
            requested_at=row.requested_at,
            finished_at=row.finished_at,
            baseline_id=row.baseline_id,
            migration_id=row.migration_id,
            detail=row.detail,
        )
        for row in found
    ]
