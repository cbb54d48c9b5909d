# SPDX-License-Identifier: Apache-2.0
"""The rebalancer's plan: waited for, approved, followed to its end.

As an operator does it, by ``membuddies plan``; whether guests moved is Nova's word.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.cloud.lab.buddies import Buddies
from tests.cloud.lab.errors import LabError

QUIET_PERIOD_SECONDS = 600
# Shorter than since the first plan, longer than until the quiet period is set again:
# one plan is made.
_PERIOD_SECONDS = 60
_PLAN_SECONDS = 60
_RUN_SECONDS = 300
_ENDED = ("done", "failed", "expired", "cancelled")


@dataclass(frozen=True)
class Migrations:
    """Live migrations by Nova's own records."""

    completed: int
    failed: int

    @classmethod
    def count(cls, buddies: Buddies) -> "Migrations":
        """All live migrations since the cloud came up."""
        compute = buddies.cloud.connect().compute
        states = [
            record.status
            for record in compute.migrations()
            if record.migration_type == "live-migration"
        ]
        completed = states.count("completed")
        return cls(completed, len(states) - completed)


def propose(buddies: Buddies) -> dict[str, Any]:
    """Lets the rebalancer recommend, and returns the plan that it proposes.

    :raises LabError: it proposes nothing
    """
    known = {(plan["id"], plan["created_at"]) for plan in buddies.json("plan", "list")}

    def proposed() -> dict[str, Any] | None:
        for plan in buddies.json("plan", "list"):
            is_new = (plan["id"], plan["created_at"]) not in known
            if is_new and plan["state"] == "proposed":
                return dict(plan)
        return None

    reload_rebalancer(buddies, _PERIOD_SECONDS)
    found = buddies.wait(proposed, "the rebalancer proposes no plan", _PLAN_SECONDS)
    reload_rebalancer(buddies, QUIET_PERIOD_SECONDS)
    return show(buddies, found["id"])


def reload_rebalancer(buddies: Buddies, period_seconds: float) -> None:
    """Sets ``mode = recommend``; the rebalancer reads it while it runs."""
    buddies.reload_rebalancer("recommend", "ctl", period_seconds=period_seconds)


def show(buddies: Buddies, plan: str) -> dict[str, Any]:
    """A plan as it is in our database now."""
    return dict(buddies.json("plan", "show", plan))


def run(
    buddies: Buddies, plan: str, tell: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Approves a plan and returns it when it has ended, well or not.

    :param tell: gets each move that has ended
    :raises LabError: it does not end in time
    """
    buddies.run("plan", "approve", plan)
    deadline = time.monotonic() + _RUN_SECONDS
    told: set[str] = set()
    while True:
        now = show(buddies, plan)
        for move in now["moves"]:
            if move["finished_at"] is not None and move["guest"] not in told:
                told.add(move["guest"])
                tell(move)
        if now["state"] in _ENDED:
            return now
        if time.monotonic() > deadline:
            raise LabError(f"plan {plan} is still {now['state']}")
        time.sleep(0.5)
