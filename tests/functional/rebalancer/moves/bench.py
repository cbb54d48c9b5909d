# SPDX-License-Identifier: Apache-2.0
"""A database, an emulated Nova, and movers that share them.

A ``Mover`` that is made anew stands for a process that was started again: all
that it knows is in the rows.
"""

from membuddies_nova.rebalancer.moves import Mover, Patience
from tests.functional.rebalancer.rows import Clock, move, only_move, store_plan

NOW = 1_800_000_000.0


class Bench:
    """One plan of one move, and who moves it."""

    def __init__(self, database, emulator, nova) -> None:
        self.database = database
        self.emulator = emulator
        self.nova = nova
        self.clock = Clock(NOW)
        self.plan_id = ""
        self.refusal = None

    def mover(self, holder: str = "one") -> Mover:
        return Mover(
            self.database,
            self.nova,
            holder=holder,
            clock=self.clock,
            check=lambda record: self.refusal,
            patience=Patience(record_seconds=120, settle_seconds=60),
        )

    def plan(self, server, destination: str = "c2") -> None:
        self.plan_id = store_plan(self.database, move(server, destination), now=NOW)

    @property
    def record(self):
        return only_move(self.database, self.plan_id)

    def advance(self, mover, times: int = 1, begin: bool = True, abort: bool = False):
        for _ in range(times):
            if self.record.state in ("claimed", "unknown", "running"):
                mover.advance(self.record, begin=begin, abort=abort)
        return self.record
