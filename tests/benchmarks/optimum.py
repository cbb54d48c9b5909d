# SPDX-License-Identifier: Apache-2.0
"""Plans of random small clusters against the exact optimum.

Up to 4 hosts and 12 guests, each of one of four images, hosts from a third full
to four fifths. The optimum obeys the two memory rules in its end state, and
knows no order of moves; guests that wait on a third host are counted apart.

Run: python -m tests.benchmarks.optimum [CASES]
"""

import sys

import numpy as np

from membuddies_nova.planner import plan
from tests.benchmarks.figure import Figure
from tests.unit.planner.optimum import PAGES_PER_MB, Optimum
from tests.unit.planner.random_clusters import random_cluster

CASES = 200


def measured(cases: int) -> list[Figure]:
    shares, above, waiting = [], [], 0
    for seed in range(cases):
        snapshot = random_cluster(seed)
        planned = plan(snapshot)
        optimum = Optimum(snapshot)
        saved_pages = planned.saved_mb * PAGES_PER_MB
        best = optimum.saving_pages
        shares.append(saved_pages / best if best else 1.0)
        moved = len({move.guest for move in planned.moves})
        above.append(moved - optimum.fewest_moved(saved_pages))
        waiting += len(planned.moves) - moved
    facts = {"cases": cases, "moves only to wait elsewhere": waiting}
    percent = 100.0
    return [
        Figure(
            name="optimum_mean",
            what="mean part of the optimal saving",
            how="at least",
            asked=99.0,
            measured=float(np.mean(shares)) * percent,
            unit="%",
            facts=facts,
        ),
        Figure(
            name="optimum_worst",
            what="least part of the optimal saving",
            how="at least",
            asked=95.0,
            measured=float(np.min(shares)) * percent,
            unit="%",
            facts=facts,
        ),
        Figure(
            name="fewest_moves_equal",
            what="plans with no more moved guests than the fewest for their saving",
            how="at least",
            asked=90.0,
            measured=float(np.mean(np.array(above) <= 0)) * percent,
            unit="%",
            facts=facts,
        ),
        Figure(
            name="fewest_moves_above",
            what="most guests moved beyond the fewest",
            how="at most",
            asked=1,
            measured=max(above),
            unit="guests",
            facts=facts,
        ),
    ]


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else CASES
    sys.exit(max([figure.publish() for figure in measured(count)]))
