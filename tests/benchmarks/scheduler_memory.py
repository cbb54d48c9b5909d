# SPDX-License-Identifier: Apache-2.0
"""Memory that our extension adds to a nova-scheduler process.

A process of its own loads Nova's scheduler with a cloud of 1,000 hosts and 10,000
guests and selects hosts; then our weigher and filters are loaded, boards arrive
again and again while it selects. The difference of the peaks of its resident set
counts, so that what a new board needs beside the old one is in it.

Run: python -m tests.benchmarks.scheduler_memory
"""

import pathlib
import subprocess
import sys
import tempfile

from tests.benchmarks.figure import Figure

ASKED_MB = 64.0
BOARDS = 5


def peak_mb() -> float:
    """Of this process's resident set, in MB."""
    status = pathlib.Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024.0


def measure(path: str) -> None:
    """In the process of its own: print both peaks."""
    from tests.benchmarks import scheduler_cloud as cloud

    body = pathlib.Path(path).read_bytes()
    states, spec = cloud.states(), cloud.request(cloud.common_guest())
    manager = cloud.manager([], {})
    for _ in range(3):
        cloud.select(manager, states, spec)
    before = peak_mb()

    manager = cloud.manager([cloud.OURS], cloud.OUR_FILTERS)
    from membuddies_nova.scheduler import local_board
    from membuddies_nova.scoreboard import codec

    held = local_board.shared()
    held.start = lambda: None  # type: ignore[method-assign]
    for _ in range(BOARDS):
        held.hold(codec.decode(codec.decompress(body)).prepared())
        cloud.select(manager, states, spec)
    print(before, peak_mb())


def main() -> int:
    from membuddies_nova.scoreboard import codec
    from tests.benchmarks import large_board

    with tempfile.NamedTemporaryFile(prefix="membuddies-board-") as file:
        file.write(codec.compress(large_board.board_bytes()))
        file.flush()
        done = subprocess.run(
            [
                *(sys.executable, "-W", "ignore", "-c"),
                "import sys; from tests.benchmarks import scheduler_memory; "
                "scheduler_memory.measure(sys.argv[1])",
                file.name,
            ],
            check=True,
            capture_output=True,
            text=True,
        )
    before, after = map(float, done.stdout.split())
    return Figure(
        name="scheduler_memory",
        what="memory that weigher, filters and scoreboard add to nova-scheduler",
        how="at most",
        asked=ASKED_MB,
        measured=after - before,
        unit="MiB",
        facts={
            "nova-scheduler alone": round(before, 1),
            "with ours": round(after, 1),
            "boards taken": BOARDS,
        },
    ).publish()


if __name__ == "__main__":
    sys.exit(main())
