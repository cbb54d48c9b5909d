# SPDX-License-Identifier: Apache-2.0
"""Plans of random clusters, replayed move by move by the independent checker.

The clusters have every fact that a rule looks at, the goals take turns, and every
move of every plan is held against every rule.

Run: python -m tests.benchmarks.every_plan [CASES]
"""

import collections
import sys

from membuddies_nova.plan import Goal
from membuddies_nova.planner import plan
from tests.benchmarks.figure import Figure
from tests.unit.planner.cases import random_cloud
from tests.unit.planner.checker import problems

CASES = 10_000
WORK = 2000
"""Gains to evaluate for a plan: enough for some rounds of the search."""


def measured(cases: int) -> Figure:
    broken, moves, plans = [], collections.Counter(), collections.Counter()
    for seed in range(cases):
        goal = list(Goal)[seed % len(Goal)]
        snapshot, limits = random_cloud(seed)
        planned = plan(snapshot, goal=goal, limits=limits, evaluations=WORK)
        found = problems(snapshot, planned, limits)
        if found:
            broken.append(f"seed {seed}, goal {goal}: {found[0]}")
        plans[goal.value] += bool(planned.moves)
        moves[goal.value] += len(planned.moves)
    return Figure(
        name="every_plan",
        what="plans that break a rule or tell what is not true",
        how="exactly",
        asked=0,
        measured=len(broken),
        unit="plans",
        facts={
            "plans": cases,
            "plans with moves, by goal": dict(plans),
            "moves, by goal": dict(moves),
            "broken": broken[:5],
        },
    )


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else CASES
    sys.exit(measured(count).publish())
