# SPDX-License-Identifier: Apache-2.0
"""What becomes of plans: made, proposed, begun, run within the caps, ended.

For the service, which calls :meth:`Executor.step` every few seconds while it
leads. Nothing here waits or keeps state that matters: everything is in the
database, so that a step by another process goes on where this one ended.
"""

import dataclasses
from collections.abc import Callable, Sequence

from oslo_log import log as logging

from membuddies_nova import exceptions
from membuddies_nova.db import inventory, moves, plans, switches
from membuddies_nova.db.api import Database, Session
from membuddies_nova.db.moves import MoveRecord
from membuddies_nova.db.plans import PlanRecord
from membuddies_nova.plan import Plan
from membuddies_nova.rebalancer import order, planning
from membuddies_nova.rebalancer.migrations import Nova
from membuddies_nova.rebalancer.moves import Mover
from membuddies_nova.rebalancer.policy import (
    FAILURES_UNTIL_FALLBACK,
    Caps,
    Mode,
    OnFailure,
    Traffic,
    Window,
    automatic_refusal,
)

LOG = logging.getLogger(__name__)

PROPOSAL_SECONDS = 3600
_HOUR_SECONDS = 3600
_TELL_AGAIN_SECONDS = 60
_PAUSED = "moves are paused (`membuddies resume` goes on)"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the operator allows; see the options of the same names."""

    mode: Mode
    wishes: planning.Wishes
    period_seconds: float
    inventory_max_age_seconds: float
    windows: tuple[Window, ...]
    on_failure: OnFailure
    caps: Caps


class Executor:
    """Makes plans and runs those that may run.

    :param nova: connects when first asked, so that `observe` needs no
        credentials
    :param mover: likewise
    :param may_start: whether moves may start at this very moment: this process
        leads and is not about to end
    """

    def __init__(
        self,
        database: Database,
        *,
        rules: Callable[[], Rules],
        nova: Callable[[], Nova],
        mover: Callable[[], Mover],
        clock: Callable[[], float],
        may_start: Callable[[], bool],
    ) -> None:
        self._database = database
        self._rules = rules
        self._nova = nova
        self._mover = mover
        self._clock = clock
        self._may_start = may_start
        self._hindrances: list[str] = []
        self._told_at: float | None = None
        self.waits_for: str | None = None

    def step(self) -> None:
        """Do what can be done now; called again in a few seconds.

        What hinders it is in ``waits_for`` afterwards, and in the log, though not
        at every step.
        """
        self._hindrances = []
        try:
            self._step(self._rules())
        except exceptions.MembuddiesError as error:
            self._hindrances.append(str(error))
        self.waits_for = "; ".join(self._hindrances) or None
        if self.waits_for is None:
            self._told_at = None
            return
        now = self._clock()
        if self._told_at is None or now - self._told_at >= _TELL_AGAIN_SECONDS:
            LOG.warning("Waiting: %s", self.waits_for)
            self._told_at = now

    def _step(self, rules: Rules) -> None:
        self._expire()
        with self._database.reader() as session:
            paused = switches.paused(session) is not None
            open_moves = moves.still_open(session)
        self._follow(open_moves, paused)
        with self._database.reader() as session:
            running = plans.in_states(session, ("running",))
            under_way = moves.still_open(session)
        if running:
            self._run(running[0], rules, paused)
        elif not under_way:
            self._next(rules, paused)

    def check(self, record: MoveRecord) -> str | None:
        """Why our own rules forbid a claimed move, asked right before its start.

        :raises MembuddiesError: if that cannot be said now
        """
        if not self._may_start():
            raise exceptions.MembuddiesError("this rebalancer may not start moves now")
        with self._database.reader() as session:
            siblings = moves.of_plan(session, record.plan_id)
            return planning.refusal(
                session, record, siblings, self._rules().wishes, self._clock()
            )

    def _expire(self) -> None:
        now = self._clock()
        with self._database.writer() as session:
            for plan in plans.in_states(session, ("proposed", "approved")):
                if plan.expires_at is not None and plan.expires_at <= now:
                    self._conclude(session, plan, "expired", "nobody ran it in time")

    def _follow(self, open_moves: Sequence[MoveRecord], paused: bool) -> None:
        for record in open_moves:
            with self._database.reader() as session:
                plan = plans.get(session, record.plan_id)
            runs = plan is not None and plan.state == "running"
            if record.state == "claimed" and runs and (paused or not self._may_start()):
                continue
            try:
                self._mover().advance(
                    record, begin=runs, abort=plan is not None and plan.abort
                )
            except exceptions.MembuddiesError as error:
                self._hindrances.append(f"move of guest {record.move.guest}: {error}")

    def _run(self, plan: PlanRecord, rules: Rules, paused: bool) -> None:
        """Go on with a plan that was begun."""
        stop = self._stop_reason(plan, rules)
        if stop is not None:
            with self._database.writer() as session:
                self._conclude(session, plan, "cancelled", stop)
            return
        with self._database.writer() as session:
            records = moves.of_plan(session, plan.id)
            for record, reason in order.to_skip(records, rules.on_failure):
                LOG.info("Move of guest %s: skipped (%s)", record.move.guest, reason)
                moves.finish(
                    session,
                    record.id,
                    expected=("planned",),
                    state="skipped",
                    detail=reason,
                    now=self._clock(),
                )
            records = moves.of_plan(session, plan.id)
            conclusion = order.conclusion(records)
            if conclusion is not None:
                self._conclude(session, plan, *conclusion)
                return
        if paused:
            self._hindrances.append(_PAUSED)
            return
        for record in order.startable(records):
            if not self._may_start():
                return
            self._start(record, rules.caps)

    def _stop_reason(self, plan: PlanRecord, rules: Rules) -> str | None:
        """Why a plan that was begun may not go on at all."""
        if rules.mode is Mode.OBSERVE:
            return "the mode is observe"
        if plan.mode == Mode.AUTO:
            return self._automatic_refusal(rules)
        return None

    def _automatic_refusal(self, rules: Rules) -> str | None:
        if rules.mode is not Mode.AUTO:
            return f"the mode is {rules.mode}"
        now = self._clock()
        with self._database.reader() as session:
            outcomes = moves.latest_outcomes(session, FAILURES_UNTIL_FALLBACK)
            in_error = {
                guest.uuid
                for guest in inventory.guests(session, now)
                if guest.status == "ERROR" and guest.host is not None
            }
        return automatic_refusal(
            now=now,
            windows=rules.windows,
            latest_outcomes=outcomes,
            guests_in_error=in_error,
        )

    def _start(self, record: MoveRecord, caps: Caps) -> None:
        """Start a move, unless a cap or an old inventory makes it wait."""
        now = self._clock()
        move = record.move
        with self._database.reader() as session:
            planning.require_inventory(session, now, planning.FRESH_SECONDS)
            ours = moves.still_open(session)
        traffic = [
            Traffic(other.move.guest, other.move.source, other.move.destination)
            for other in ours
        ]
        started = sum(other.state == "unknown" for other in ours)
        refusal = caps.refusal(str(move.source), move.destination, traffic, started)
        if refusal is None:
            traffic += [
                Traffic(other.server, other.source, other.destination)
                for other in self._nova().under_way()
            ]
            since = self._nova().live_migrations_since(now - _HOUR_SECONDS)
            refusal = caps.refusal(
                str(move.source), move.destination, traffic, started + len(since)
            )
        if refusal is not None:
            self._hindrances.append(f"move of guest {move.guest}: {refusal}")
            return
        self._mover().start(record)

    def _next(self, rules: Rules, paused: bool) -> None:
        """Begin the oldest approved plan, or make a new one when it is time."""
        with self._database.reader() as session:
            approved = plans.in_states(session, ("approved",))
        if not approved:
            self._plan(rules, paused)
        elif rules.mode is Mode.OBSERVE:
            self._hindrances.append(f"plan {approved[0].id}: the mode is observe")
        elif paused:
            self._hindrances.append(f"plan {approved[0].id}: {_PAUSED}")
        else:
            self._begin(approved[0])

    def _begin(self, plan: PlanRecord) -> None:
        """Check an approved plan against a fresh inventory, and let it run."""
        now = self._clock()
        with self._database.writer() as session:
            planning.require_settled_inventory(session, now, planning.FRESH_SECONDS)
            hosts = {guest.uuid: guest.host for guest in inventory.guests(session, now)}
            for move in plan.plan.moves:
                host = hosts.get(move.guest)
                if host != move.source:
                    self._conclude(
                        session,
                        plan,
                        "expired",
                        f"guest {move.guest} is on host {host} now, "
                        f"not on {move.source}",
                    )
                    return
                # A guest that parks on a third host goes on from there.
                hosts[move.guest] = move.destination
            begun = plans.set_state(
                session, plan.id, expected=("approved",), state="running", now=now
            )
        if begun:
            LOG.info("Plan %s: begun with %d moves", plan.id, len(plan.plan.moves))

    def _plan(self, rules: Rules, paused: bool) -> None:
        now = self._clock()
        with self._database.reader() as session:
            latest = plans.list_plans(session, limit=1)
            if latest and now - latest[0].created_at < rules.period_seconds:
                return
            planning.require_settled_inventory(
                session, now, rules.inventory_max_age_seconds
            )
            current = planning.snapshot(session, rules.wishes.limits, now)
        if rules.mode is not Mode.OBSERVE:
            current = planning.with_traffic(
                current,
                [
                    Traffic(other.server, other.source, other.destination)
                    for other in self._nova().under_way()
                ],
            )
        proposal = planning.make(current, rules.wishes)
        made = proposal.plan
        mode, state, why = Mode.RECOMMEND, "proposed", ""
        if rules.mode is Mode.OBSERVE or not made.moves:
            mode, state = rules.mode, "observed"
        elif rules.mode is Mode.AUTO:
            refusal = _PAUSED if paused else self._automatic_refusal(rules)
            if refusal is None:
                mode, state = Mode.AUTO, "approved"
            else:
                why = f"; not run by itself: {refusal}"
        expires_at = None if state == "observed" else now + PROPOSAL_SECONDS
        with self._database.writer() as session:
            plan_id = None
            if state == "proposed":
                plan_id = plans.propose_again(
                    session,
                    made,
                    now=now,
                    expires_at=expires_at,
                    saved_mb_global=proposal.saved_mb_global,
                )
            if plan_id is None:
                plan_id = plans.create(
                    session,
                    made,
                    mode=mode.value,
                    state=state,
                    now=now,
                    expires_at=expires_at,
                    saved_mb_global=proposal.saved_mb_global,
                )
            if state == "approved":
                self._supersede(session, made, plan_id)
        LOG.info(
            "Plan %s: %s, %d moves, saves %.0f MB (%s)%s",
            plan_id,
            state,
            len(made.moves),
            made.saved_mb,
            made.why,
            why,
        )

    def _supersede(self, session: Session, made: Plan, plan_id: str) -> None:
        """End the proposals of what a plan that approves itself does now."""
        for record in plans.in_states(session, ("proposed",)):
            if record.plan.moves_alike(made):
                self._conclude(
                    session, record, "expired", f"plan {plan_id} makes the same moves"
                )

    def _conclude(
        self, session: Session, plan: PlanRecord, state: str, detail: str
    ) -> None:
        if plans.set_state(
            session,
            plan.id,
            expected=(plan.state,),
            state=state,
            detail=detail,
            now=self._clock(),
        ):
            LOG.info("Plan %s: %s (%s)", plan.id, state, detail)
