# SPDX-License-Identifier: Apache-2.0
"""How much memory the agent needs while it scans a guest of 4 GiB.

A process holds 4 GiB of distinct pages, all present. Another one, which has
imported what the agent scans with, scans it and takes the sample; what is
counted is the peak of its resident memory above what it held before, by the
kernel's count (VmHWM, set back by /proc/PID/clear_refs). Needs root and 4 GiB.

Run: python -m tests.benchmarks.scan_memory
"""

import pathlib
import sys

from membuddies_agent.scan import READER, scan
from tests.benchmarks.figure import Figure
from tests.functional.agent import processes

ASKED_MB = 24.0
GUEST_PAGES = 2**20


def status_mb(name: str) -> float:
    """A line of this process's status, given there in KiB."""
    for line in pathlib.Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"the kernel tells no {name}")


def main() -> int:
    with processes.child(GUEST_PAGES, number=[[0, GUEST_PAGES]]) as child:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        before = status_mb("VmRSS")
        sample = scan(child.process).sample()
        peak = status_mb("VmHWM")
        assert sample.counters.unique_pages == GUEST_PAGES
    return Figure(
        name="scan_memory",
        what="peak memory above the start, scanning a guest of 4 GiB",
        how="at most",
        asked=ASKED_MB,
        measured=peak - before,
        unit="MB",
        facts={"reader": READER.__name__, "items": len(sample.items)},
    ).publish()


if __name__ == "__main__":
    sys.exit(main())
