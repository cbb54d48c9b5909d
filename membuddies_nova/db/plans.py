# SPDX-License-Identifier: Apache-2.0
"""Plans, and what becomes of them; their moves are in :mod:`.moves`.

Written by the rebalancer and by operators at the command line, at the same time:
every change names the states that it expects, and tells whether it happened.

    observed
    proposed -> approved -> running -> done | failed
    and from each of these three: expired, cancelled
"""

import dataclasses
import uuid
from collections.abc import Collection
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from membuddies_nova.db import models, moves, rows, values
from membuddies_nova.plan import Plan

ENDED = frozenset({"observed", "done", "failed", "expired", "cancelled"})
"""States in which nothing becomes of a plan any more."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlanRecord:
    """A plan and what became of it.

    :ivar created_at: when it was made, or made again alike
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
            saved_mb_global=saved_mb_global,
            abort=False,
            detail="",
            **_columns(plan),
        )
    )
    session.flush()
    moves.create(session, plan_id, plan.moves)
    return plan_id


def propose_again(
    session: Session,
    plan: Plan,
    *,
    now: float,
    expires_at: float | None,
    saved_mb_global: float | None,
) -> str | None:
    """Let a plan take the place of the proposed one that moves alike.

    Its estimates, its age and its end are those of the newer one. The id stays, so
    that whoever has read it can approve it.

    :return: the id, None if no such plan is proposed
    """
    row = models.Plan
    for record in in_states(session, ("proposed",)):
        if record.plan.moves_alike(plan) and rows.changed(
            session,
            update(row)
            .where(row.id == record.id, row.state == "proposed")
            .values(
                created_at=now,
                expires_at=expires_at,
                saved_mb_global=saved_mb_global,
                **_columns(plan),
            ),
        ):
            moves.replace_planned(session, record.id, plan.moves)
            return record.id
    return None


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
        moves.cancel_planned(session, plan_id, f"the plan is {state}", now)
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


def _columns(plan: Plan) -> dict[str, Any]:
    """What a plan itself says, as columns."""
    return {
        "strategy": plan.strategy,
        "goal": plan.goal.value,
        "scope": plan.scope,
        "shift": plan.shift,
        "verdict": plan.verdict.value,
        "why": plan.why,
        "saved_mb": plan.saved_mb,
        "plan": dataclasses.asdict(plan),
    }


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
