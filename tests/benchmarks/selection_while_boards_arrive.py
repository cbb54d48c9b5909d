# SPDX-License-Identifier: Apache-2.0
"""Whether boards that keep arriving hold up Nova's choice among 1,000 hosts.

Selections one after another in one thread, while another takes a whole new board
off the wire once a second, as a worker's refresher does: all of it under one
interpreter lock. Ten seconds with boards and ten without take turns; the 99th
percentiles of all selections of each kind are compared.

Run: python -m tests.benchmarks.selection_while_boards_arrive [TURNS]
"""

import os
import statistics
import sys
import threading
import time

from membuddies_nova.scheduler import local_board
from membuddies_nova.scoreboard import codec
from tests.benchmarks import large_board
from tests.benchmarks import scheduler_cloud as cloud
from tests.benchmarks.figure import Figure

ASKED_RATIO = 1.5
TURNS = 6
TURN_SECONDS = 10.0


def main() -> int:
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else TURNS
    data = large_board.board_bytes()
    body = codec.compress(data)
    held = local_board.shared()
    held.start = lambda: None  # type: ignore[method-assign]
    held.hold(codec.decode(data).prepared())
    manager = cloud.manager([cloud.OURS], cloud.OUR_FILTERS)
    states, spec = cloud.states(), cloud.request(cloud.common_guest())
    arriving, ending = threading.Event(), threading.Event()
    arrived = 0

    def refresh() -> None:
        nonlocal arrived
        while not ending.wait(1.0):
            if arriving.is_set():
                raw = codec.decompress(body)
                assert codec.version(raw) == codec.version(data)
                held.hold(codec.decode(raw).prepared())
                arrived += 1

    refresher = threading.Thread(target=refresh)
    refresher.start()
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(2 * turns):
        with_boards = bool(turn % 2)
        (arriving.set if with_boards else arriving.clear)()
        end = time.monotonic() + TURN_SECONDS
        while time.monotonic() < end:
            held.hold(held._held[0])  # type: ignore[index]
            started = time.perf_counter()
            cloud.select(manager, states, spec)
            seconds[with_boards].append(time.perf_counter() - started)
    ending.set()
    refresher.join()
    p99 = {
        kind: statistics.quantiles(found, n=100)[98] for kind, found in seconds.items()
    }
    return Figure(
        name="selection_while_boards_arrive",
        what="p99 of a selection with a whole board a second, against none arriving",
        how="at most",
        asked=ASKED_RATIO,
        measured=p99[True] / p99[False],
        unit="times",
        facts={
            "aimed at": 1.2,
            "p99 milliseconds": {
                "boards arrive": round(1000 * p99[True], 1),
                "none arrives": round(1000 * p99[False], 1),
            },
            "median milliseconds": {
                "boards arrive": round(1000 * statistics.median(seconds[True]), 1),
                "none arrives": round(1000 * statistics.median(seconds[False]), 1),
            },
            "boards": arrived,
            "selections": {
                "boards arrive": len(seconds[True]),
                "none arrives": len(seconds[False]),
            },
            "load_average": round(os.getloadavg()[0], 1),
        },
    ).publish()


if __name__ == "__main__":
    sys.exit(main())
