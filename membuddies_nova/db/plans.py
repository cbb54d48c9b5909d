# SPDX-License-Identifier: Apache-2.0
"""Plans, their moves, and what becomes of both.

Written by the rebalancer and by operators at the command line, at the same time:
every change names the states that it expects, and tells whether it happened.

    plan   observed
           proposed -> approved -> running -> done | failed
           and from each of these three: expired, cancelled
    move   planned -> claimed -> unknown -> running -> done | failed | cancelled
           and from planned or claimed: skipped, cancelled
"""

import dataclasses
import uuid
from collections.abc import Collection

import sqlalchemy
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from membuddies_nova.db import models, rows, values
from membuddies_nova.plan import Move, Plan

ENDED = frozenset({"observed", "done", "failed", "expired", "cancelled"})
"""States in which nothing becomes of a plan any more."""

OPEN = frozenset({"claimed", "unknown", "running"})
"""States in which a move is somebody's, and Nova may be at it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlanRecord:
    """A plan and what became of it.

    :ivar saved_mb_global: what it saves as the kernel counts, without trust
        scopes; None if that was not computed
    :ivar approved_by: who approved it, None if nobody has
    :ivar abort: whether its migrations under way shall be ended
    :ivar detail: why it is in its state
    """

    id: str
    plan: Plan
    mode: str
    state: str
    created_at: float
    expires_at: float | None
    ended_at: float | None
    saved_mb_global: float | None
    approved_by: str | None
    abort: bool
    detail: str


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


def create(
    session: Session,
    plan: Plan,
    *,
    mode: str,
    state: str,
    now: float,
    expires_at: float | None = None,
    saved_mb_global: float | None = None,
) -> str:
    """Keep a plan, with a row for each of its migrations.

    The first placement of a guest is Nova's, so it gets no row.

    :return: the plan's id, a uuid
    """
    plan_id = str(uuid.uuid4())
    session.add(
        models.Plan(
            id=plan_id,
            created_at=now,
            expires_at=expires_at,
            ended_at=now if state in ENDED else None,
            mode=mode,
            state=state,
            strategy=plan.strategy,
            goal=plan.goal.value,
            scope=plan.scope,
            shift=plan.shift,
            verdict=plan.verdict.value,
            why=plan.why,
            saved_mb=plan.saved_mb,
            saved_mb_global=saved_mb_global,
            abort=False,
            detail="",
            plan=dataclasses.asdict(plan),
        )
    )
    session.flush()
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
        for position, move in enumerate(plan.moves)
        if move.source is not None
    )
    session.flush()
    return plan_id


def get(session: Session, plan_id: str) -> PlanRecord | None:
    """One plan, None if there is none with that id."""
    row = session.get(models.Plan, plan_id, populate_existing=True)
    return None if row is None else _plan_record(row)


def list_plans(session: Session, limit: int) -> list[PlanRecord]:
    """The newest plans, newest first."""
    found = session.scalars(
        select(models.Plan)
        .order_by(models.Plan.created_at.desc(), models.Plan.id)
        .limit(limit)
    )
    return [_plan_record(row) for row in found]


def in_states(session: Session, states: Collection[str]) -> list[PlanRecord]:
    """All plans in these states, oldest first."""
    found = session.scalars(
        select(models.Plan)
        .where(models.Plan.state.in_(states))
        .order_by(models.Plan.created_at, models.Plan.id)
        .execution_options(populate_existing=True)
    )
    return [_plan_record(row) for row in found]


def set_state(
    session: Session,
    plan_id: str,
    *,
    expected: Collection[str],
    state: str,
    now: float,
    detail: str = "",
) -> bool:
    """Change a plan's state, false if it is in none of those expected.

    A plan that ends takes the moves that nobody has begun with it.
    """
    changed = rows.changed(
        session,
        update(models.Plan)
        .where(models.Plan.id == plan_id, models.Plan.state.in_(expected))
        .values(state=state, detail=detail, ended_at=now if state in ENDED else None),
    )
    if changed and state in ENDED:
        _cancel_planned(session, plan_id, f"the plan is {state}", now)
    return changed > 0


def approve(session: Session, plan_id: str, *, by: str, now: float) -> bool:
    """Let a proposed plan run, false if it is not proposed or has expired."""
    plan = models.Plan
    return (
        rows.changed(
            session,
            update(plan)
            .where(
                plan.id == plan_id,
                plan.state == "proposed",
                or_(plan.expires_at.is_(None), plan.expires_at > now),
            )
            .values(state="approved", approved_by=by),
        )
        > 0
    )


def cancel(session: Session, plan_id: str, *, abort: bool, now: float) -> bool:
    """End a plan, false if it has ended already.

    Moves that somebody has claimed are left to the rebalancer, which follows
    them to their end.

    :param abort: also end the migrations that are under way; may be asked for
        after the plan was cancelled without it
    """
    plan = models.Plan
    changed = set_state(
        session,
        plan_id,
        expected=("proposed", "approved", "running"),
        state="cancelled",
        now=now,
    )
    if not abort:
        return changed
    return (
        rows.changed(
            session,
            update(plan)
            .where(plan.id == plan_id, plan.state == "cancelled", ~plan.abort)
            .values(abort=True),
        )
        > 0
    )


def moves(session: Session, plan_id: str) -> list[MoveRecord]:
    """A plan's moves in their order."""
    return _moves(
        session,
        select(models.Move)
        .where(models.Move.plan_id == plan_id)
        .order_by(models.Move.position),
    )


def open_moves(session: Session) -> list[MoveRecord]:
    """The moves of all plans that are somebody's, oldest claim first."""
    return _moves(
        session,
        select(models.Move)
        .where(models.Move.state.in_(OPEN))
        .order_by(models.Move.claimed_at, models.Move.id),
    )


def finished_moves(session: Session, since: float, limit: int) -> list[MoveRecord]:
    """The moves that ended at or after a moment, the newest first."""
    return _moves(
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


def _cancel_planned(session: Session, plan_id: str, detail: str, now: float) -> None:
    rows.changed(
        session,
        update(models.Move)
        .where(models.Move.plan_id == plan_id, models.Move.state == "planned")
        .values(state="cancelled", detail=detail, finished_at=now),
    )


def _moves(
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


def _plan_record(row: models.Plan) -> PlanRecord:
    return PlanRecord(
        id=row.id,
        plan=values.plan_from_json(row.plan),
        mode=row.mode,
        state=row.state,
        created_at=row.created_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        saved_mb_global=row.saved_mb_global,
        approved_by=row.approved_by,
        abort=row.abort,
        detail=row.detail,
    )
