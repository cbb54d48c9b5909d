# SPDX-License-Identifier: Apache-2.0
"""Plans of random small clusters against the exact optimum, roomy and tight apart.

Up to 4 hosts and 12 guests, each of one of four images. Both sets were fixed
before results were looked at, see ``tests.unit.planner.random_clusters``.

What is asked is asked of the optimum over sets of guests, which obeys the two
memory rules in its end state and knows no order of moves. Plans of the roomy
clusters are held against just that, whether an order of moves leads there or not:
their saving against the optimum's, and the guests that they move against the
fewest for a saving at least theirs. A guest that has to wait elsewhere is moved
twice and is one guest; its moves to wait are counted apart.

In tight clusters the same optimum often cannot be reached at all: every state on
the way has to obey every rule, a guest arrives unshared, and nothing fits. No plan
could reach what is asked there. So they are held against the best of all layouts
that any order of single moves reaches (every one of them is looked at), and all
their moves, waiting included, against the fewest that reach as much. What they
save of the unreachable optimum is told beside it, with the number of cases where
even the best order of moves falls behind it.

Run: python -m tests.benchmarks.optimum [CASES]
"""

import dataclasses
import sys

import numpy as np

from membuddies_nova.planner import Limits, plan
from tests.benchmarks.figure import Figure
from tests.unit.planner.checker import problems
from tests.unit.planner.optimum import PAGES_PER_MB, Optimum
from tests.unit.planner.random_clusters import random_cluster, tight_cluster
from tests.unit.planner.reachable import Reachable

CASES = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One cluster: parts of what could be saved, and moves above the fewest.

    :ivar of_optimum: part of what the best end state saves
    :ivar of_reachable: part of what the best reachable layout saves
    :ivar waiting: moves of guests that only wait elsewhere
    """

    of_optimum: float
    of_reachable: float
    above: int
    waiting: int


def case(snapshot, tight: bool) -> Case:
    planned = plan(snapshot)
    assert problems(snapshot, planned, Limits()) == []
    optimum = Optimum(snapshot)
    saved_pages = planned.saved_mb * PAGES_PER_MB
    homes = {uuid: host for host, use in planned.after.items() for uuid in use.guests}
    moved = sum(homes[guest.uuid] != guest.host for guest in snapshot.guests)
    counted = len(planned.moves) if tight else moved
    best = optimum.saving_pages
    above = counted - optimum.fewest_moved(saved_pages, counted)
    if tight and (saved_pages < best - 1e-6 or above > 0):
        reachable = Reachable(snapshot)
        best = reachable.best_saved_pages
        above = counted - reachable.fewest_moves(saved_pages)
    return Case(
        of_optimum=_part(saved_pages, optimum.saving_pages),
        of_reachable=_part(saved_pages, best),
        above=above,
        waiting=len(planned.moves) - moved,
    )


def _part(saved_pages: float, best: int) -> float:
    return saved_pages / best if best else 1.0


def figures(name: str, cases: list[Case]) -> list[Figure]:
    optimum = np.array([each.of_optimum for each in cases]) * 100
    reachable = np.array([each.of_reachable for each in cases]) * 100
    above = np.array([each.above for each in cases])
    parts = optimum if name == "roomy" else reachable
    facts = {
        "cases": len(cases),
        "of the optimum that knows no order": f"mean {optimum.mean():.2f} %, "
        f"worst {optimum.min():.2f} %",
        "moves only to wait elsewhere": sum(each.waiting for each in cases),
    }
    if name == "tight":
        facts["optimum that no order of moves reaches, cases"] = int(
            (optimum < reachable - 1e-9).sum()
        )
    return [
        Figure(
            name=f"optimum_{name}_mean",
            what=f"{name} clusters: mean part of the best saving",
            how="at least",
            asked=99.0,
            measured=float(parts.mean()),
            unit="%",
            facts=facts,
        ),
        Figure(
            name=f"optimum_{name}_worst",
            what=f"{name} clusters: least part of the best saving",
            how="at least",
            asked=95.0,
            measured=float(parts.min()),
            unit="%",
        ),
        Figure(
            name=f"fewest_moves_{name}_equal",
            what=f"{name} clusters: plans with no more moves than the fewest",
            how="at least",
            asked=90.0,
            measured=float((above <= 0).mean()) * 100,
            unit="%",
        ),
        Figure(
            name=f"fewest_moves_{name}_above",
            what=f"{name} clusters: most moves beyond the fewest",
            how="at most",
            asked=1,
            measured=int(above.max()),
            unit="moves",
        ),
    ]


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else CASES
    status = 0
    for set_name, cluster in (("roomy", random_cluster), ("tight", tight_cluster)):
        seen = [case(cluster(seed), set_name == "tight") for seed in range(count)]
        status = max([status, *[each.publish() for each in figures(set_name, seen)]])
    sys.exit(status)
