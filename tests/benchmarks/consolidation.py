# SPDX-License-Identifier: Apache-2.0
"""Hosts in use after the goal ``consolidate``, against the exact fewest.

The random clusters of the benchmark ``optimum``. The fewest is found by dynamic
programming over sets of guests, which obeys the two memory rules in its end state
and knows no order of moves. In tight clusters it can often not be reached: there
plans are held against the fewest in any layout that single moves reach. No figure
is asked for; that of ``share``, equal in 9 cases of 10, is taken.

Run: python -m tests.benchmarks.consolidation [CASES]
"""

import sys

import numpy as np

from membuddies_nova.plan import Goal
from membuddies_nova.planner import Limits, plan
from tests.benchmarks.figure import Figure
from tests.unit.planner.checker import problems
from tests.unit.planner.optimum import Optimum
from tests.unit.planner.random_clusters import random_cluster, tight_cluster
from tests.unit.planner.reachable import Reachable

CASES = 400


def above(snapshot, tight: bool) -> int:
    """Hosts in use after the plan beyond the fewest."""
    planned = plan(snapshot, goal=Goal.CONSOLIDATE)
    assert problems(snapshot, planned, Limits()) == []
    used = sum(bool(use.guests) for use in planned.after.values())
    fewest = Optimum(snapshot).fewest_hosts
    if tight and used > fewest:
        fewest = Reachable(snapshot).fewest_hosts
    return used - fewest


def measured(name: str, hosts_above: list[int]) -> Figure:
    counted = np.array(hosts_above)
    return Figure(
        name=f"consolidation_{name}",
        what=f"{name} clusters: plans that leave the fewest hosts in use",
        how="at least",
        asked=90.0,
        measured=float((counted == 0).mean()) * 100,
        unit="%",
        facts={"cases": len(counted), "most hosts beyond": int(counted.max())},
    )


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else CASES
    status = 0
    for set_name, cluster in (("roomy", random_cluster), ("tight", tight_cluster)):
        seen = [above(cluster(seed), set_name == "tight") for seed in range(count)]
        status = max(status, measured(set_name, seen).publish())
    sys.exit(status)
