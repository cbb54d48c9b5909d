# SPDX-License-Identifier: Apache-2.0
"""What our weigher and filters add to Nova's choice among 1,000 hosts.

Nova's default filters and weighers on hosts with 10,000 guests, with ours beside
them, against a weigher that returns a constant and two filters that pass all, in
the same slots, and against Nova alone. Ours hold a full fresh board, and half of
the hosts score above zero. What counts is the thread's own processor time; the
selections of all kinds take turns, and their medians are compared.

What ours found out about a board it keeps for the next request; the first selection
after a board has arrived is measured, too.

Run: python -m tests.benchmarks.selection_time [SELECTIONS]
"""

import gc
import os
import statistics
import sys
import time

from membuddies_nova.scheduler import local_board
from membuddies_nova.scheduler.weigher import SharingWeigher
from membuddies_nova.scoreboard import codec
from tests.benchmarks import large_board
from tests.benchmarks import scheduler_cloud as cloud
from tests.benchmarks.figure import Figure

ASKED_RATIO = 1.08
SELECTIONS = 60

_SLOTS = "tests.benchmarks.scheduler_slots"
NOTHING = {
    "PassAll": f"{_SLOTS}.PassAll",
    "PassAllToo": f"{_SLOTS}.PassAllToo",
}


def main() -> int:
    selections = int(sys.argv[1]) if len(sys.argv) > 1 else SELECTIONS
    data = large_board.board_bytes()
    board = codec.decode(data).prepared()
    held = local_board.shared()
    held.start = lambda: None  # type: ignore[method-assign]
    managers = {
        "ours": cloud.manager([cloud.OURS], cloud.OUR_FILTERS),
        "constant": cloud.manager([f"{_SLOTS}.ConstantWeigher"], NOTHING),
        "nova": cloud.manager([], {}),
    }
    managers["ours, new board"] = managers["ours"]
    states = cloud.states()
    spec = cloud.request(cloud.common_guest())
    seconds: dict[str, list[float]] = {kind: [] for kind in managers}
    order = list(managers)
    for turn in range(selections + 3):
        for kind in order[turn % len(order) :] + order[: turn % len(order)]:
            if kind == "ours, new board":
                # The same board, decoded as if it came from the wire.
                board = codec.decode(data).prepared()
            held.hold(board)
            gc.collect()
            started = time.thread_time()
            weighed = cloud.select(managers[kind], states, spec)
            spent = time.thread_time() - started
            assert len(weighed) == len(states)
            if turn >= 3:
                seconds[kind].append(spent)
    medians = {kind: statistics.median(spent) for kind, spent in seconds.items()}
    return Figure(
        name="selection_time",
        what="selection among 1,000 hosts, ours against constant ones in the slots",
        how="at most",
        asked=ASKED_RATIO,
        measured=medians["ours"] / medians["constant"],
        unit="times",
        facts={
            "aimed at": 1.03,
            "ours with a new board against constant": round(
                medians["ours, new board"] / medians["constant"], 3
            ),
            "ours against Nova alone": round(medians["ours"] / medians["nova"], 3),
            "constant against Nova alone": round(
                medians["constant"] / medians["nova"], 3
            ),
            "milliseconds": {
                kind: round(1000 * spent, 2) for kind, spent in medians.items()
            },
            "hosts above zero": sum(
                weight > 0.0 for weight in SharingWeigher()._weigh(states, spec)
            ),
            "selections of each": selections,
            "load_average": round(os.getloadavg()[0], 1),
        },
    ).publish()


if __name__ == "__main__":
    sys.exit(main())
