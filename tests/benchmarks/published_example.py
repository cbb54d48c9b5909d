# SPDX-License-Identifier: Apache-2.0
"""The worked example of the Memory Buddies paper: its rule, and the union's plans.

Published: 4750 MB before, 4423 MB after, five migrations.

Run: python -m tests.benchmarks.published_example
"""

import sys

from membuddies_nova.planner import Limits, plan
from tests.benchmarks.figure import Figure
from tests.unit.planner.published import published_snapshot


def measured() -> list[Figure]:
    snapshot = published_snapshot()
    original = plan(snapshot, strategy="original")
    one, two, many = (
        plan(snapshot, limits=Limits(max_moves=most)) for most in (1, 2, None)
    )
    return [
        Figure(
            name=f"published_{name}",
            what=what,
            how="exactly",
            asked=asked,
            measured=value,
            unit=unit,
        )
        for name, what, asked, value, unit in (
            ("after", "original: memory after", 4423, original.after_mb, "MB"),
            ("moves", "original: migrations", 5, len(original.moves), "moves"),
            ("one_move", "union: saved with one move", 327, one.saved_mb, "MB"),
            ("two_moves", "union: saved with two moves", 515, two.saved_mb, "MB"),
            ("any_saved", "union: saved with any moves", 515, many.saved_mb, "MB"),
            ("any_moves", "union: moves when any may be made", 2, len(many.moves), ""),
        )
    ]


if __name__ == "__main__":
    sys.exit(max([figure.publish() for figure in measured()]))
