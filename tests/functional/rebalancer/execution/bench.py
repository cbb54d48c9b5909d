# SPDX-License-Identifier: Apache-2.0
"""One rebalancer without its threads: the test takes the steps."""

import dataclasses

from membuddies_nova.cluster import Scope
from membuddies_nova.db import plans
from membuddies_nova.plan import Goal
from membuddies_nova.planner import Limits
from membuddies_nova.rebalancer import planning
from membuddies_nova.rebalancer.execution import Executor, Rules
from membuddies_nova.rebalancer.moves import Mover, Patience
from membuddies_nova.rebalancer.policy import Caps, Mode, OnFailure, Window
from tests.functional.rebalancer import rows
from tests.functional.rebalancer.rows import Clock

NOW = 1_800_000_000.0
ALWAYS = (Window.parse("Mon-Sun 00:00-24:00"),)
RULES = Rules(
    mode=Mode.RECOMMEND,
    wishes=planning.Wishes(Goal.SHARE, Scope.PROJECT, Limits(min_gain_mb=1.0)),
    period_seconds=600,
    inventory_max_age_seconds=300,
    windows=ALWAYS,
    on_failure=OnFailure.CONTINUE,
    caps=Caps(per_source=2, per_destination=2, in_total=4, per_hour=100),
)


class Bench:
    """A database, an emulated Nova, and a rebalancer between them."""

    def __init__(self, database, emulator, nova) -> None:
        self.database = database
        self.emulator = emulator
        self.clock = Clock(NOW)
        self.rules = RULES
        self.may_start = True
        self.executor = Executor(
            database,
            rules=lambda: self.rules,
            nova=lambda: nova,
            mover=lambda: mover,
            clock=self.clock,
            may_start=lambda: self.may_start,
        )
        mover = Mover(
            database,
            nova,
            holder="one",
            clock=self.clock,
            check=self.executor.check,
            patience=Patience(record_seconds=120, settle_seconds=60),
        )

    def change(self, **rules) -> None:
        self.rules = dataclasses.replace(self.rules, **rules)

    def read_inventory(self) -> None:
        rows.store_inventory(self.database, self.emulator, self.clock.now)

    def steps(self, times: int = 1, seconds: float = 2) -> None:
        for _ in range(times):
            self.executor.step()
            self.clock.now += seconds

    def store(self, *moves, state="approved", mode="recommend") -> str:
        return rows.store_plan(
            self.database, *moves, now=self.clock.now, state=state, mode=mode
        )

    def plan(self, plan_id):
        return rows.plan_row(self.database, plan_id)

    def states(self, plan_id):
        return [record.state for record in rows.move_rows(self.database, plan_id)]

    @property
    def plans(self):
        with self.database.reader() as session:
            return plans.list_plans(session, limit=50)
