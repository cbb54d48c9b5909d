# SPDX-License-Identifier: Apache-2.0
"""Whether scans make idle guest memory look hot to the kernel's reclaim.

Two processes share a memory cgroup: one holds its memory and never looks at it
again, the other one goes over its own all the time, or every few seconds. The
cgroup's limit (``memory.high``, or ``memory.limit_in_bytes`` of cgroup v1, which
reclaims by the same rules) is lowered step by step until a quarter of both is in
a swap file of our own. Which process it came from shows in pagemap; without scans
it should be the idle one. Three ways in turn, each several times: no scan; each
process scanned once before the limit falls; and scanned anew before every step,
far more often than an agent does. The figure is the last one's, the worst that
scans can do: the part of what was paged out that the idle process had to give, as
a fraction of what it gives without scans.

Needs root, and KSM must not run. Run: python -m tests.benchmarks.reclaim
"""

import collections
import contextlib
import errno
import itertools
import mmap
import multiprocessing
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np

from membuddies_agent import pagemap, procfs
from membuddies_agent.scan import scan
from membuddies_nova.fingerprint.page import PAGE_SIZE
from tests.benchmarks.figure import Figure
from tests.functional.agent import swap

ASKED = 0.5
ROUNDS = 3
PACES = {"always": 0.01, "every 3 s": 3.0}
PAGES = 2**15
STEPS = 8
STEP_SECONDS = 1.0
SWAP_MB = 512
LIMIT_TRIES = 50

CGROUPS = pathlib.Path("/sys/fs/cgroup")


class Cgroup:
    """A memory cgroup of our own, whichever version the machine has."""

    def __init__(self) -> None:
        controllers = CGROUPS / "cgroup.controllers"
        unified = controllers.exists() and "memory" in controllers.read_text().split()
        root = CGROUPS if unified else CGROUPS / "memory"
        self.path = root / f"membuddies-benchmark-{os.getpid()}"
        self.limit = "memory.high" if unified else "memory.limit_in_bytes"
        self._usage = "memory.current" if unified else "memory.usage_in_bytes"

    def __enter__(self) -> "Cgroup":
        self.path.mkdir()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.path.rmdir()

    def join(self) -> None:
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def usage_bytes(self) -> int:
        return int((self.path / self._usage).read_text())

    def set_limit(self, limit_bytes: int) -> None:
        for _ in range(LIMIT_TRIES):
            try:
                (self.path / self.limit).write_text(str(limit_bytes))
            except OSError as error:
                # Version 1 gives up where too much is in use at the moment.
                if error.errno != errno.EBUSY:
                    raise
            else:
                return


class Holder:
    """A process that holds memory, and looks at it again or not."""

    def __init__(self, cgroup: Cgroup, seed: int, rest_seconds: float) -> None:
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        self.worker = context.Process(
            target=hold, args=(cgroup, seed, rest_seconds, theirs), daemon=True
        )
        self.worker.start()
        self._address = ours.recv()
        self.process = procfs.process(self.worker.pid)

    def swapped_pages(self) -> int:
        with (
            procfs.ProcessFiles(self.process) as files,
            contextlib.closing(pagemap.PageMap(files)) as table,
        ):
            entries = table.entries(self._address, PAGES)
        return int(np.count_nonzero(pagemap.swapped(entries)))

    def end(self) -> None:
        self.worker.kill()
        self.worker.join()


def hold(cgroup: Cgroup, seed: int, rest_seconds: float, pipe) -> None:
    cgroup.join()
    size = PAGES * PAGE_SIZE
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    memory.madvise(mmap.MADV_MERGEABLE)
    random = np.random.default_rng(seed)
    for start in range(0, size, 2**20):
        memory[start : start + 2**20] = random.bytes(2**20)
    pipe.send(np.frombuffer(memory, dtype=np.uint8).ctypes.data)
    while True:
        time.sleep(rest_seconds)
        memory[::PAGE_SIZE]


def paged_out(busy_seconds: float, scans: str) -> tuple[int, int]:
    """Pages of the idle and of the busy process that were paged out.

    :param busy_seconds: between two times that the busy one goes over its memory
    :param scans: ``none``, ``before`` the limit falls, or ``between`` its steps
    """
    with Cgroup() as cgroup:
        holders = [
            Holder(cgroup, seed, rest_seconds)
            for seed, rest_seconds in enumerate((3600.0, busy_seconds))
        ]
        try:
            time.sleep(STEP_SECONDS)
            usage_bytes = cgroup.usage_bytes()
            step_bytes = 2 * PAGES * PAGE_SIZE // 4 // STEPS
            for step in range(1, STEPS + 1):
                if scans == "between" or (scans == "before" and step == 1):
                    for holder in holders:
                        scan(holder.process)
                cgroup.set_limit(usage_bytes - step * step_bytes)
                time.sleep(STEP_SECONDS)
            idle, busy = (holder.swapped_pages() for holder in holders)
        finally:
            for holder in holders:
                holder.end()
            # What they held is given back a moment after they have ended.
            time.sleep(STEP_SECONDS)
        return idle, busy


@contextlib.contextmanager
def swap_space() -> Iterator[None]:
    with (
        tempfile.TemporaryDirectory(prefix="membuddies-", dir="/var/tmp") as folder,
        swap.file(pathlib.Path(folder) / "swap", SWAP_MB),
    ):
        yield


def main() -> int:
    ways = ("none", "before", "between")
    found: dict[tuple[str, str], list[tuple[int, int]]] = collections.defaultdict(list)
    with swap_space():
        for _ in range(ROUNDS):
            for (pace, seconds), way in itertools.product(PACES.items(), ways):
                found[pace, way].append(paged_out(seconds, way))
    parts = {
        case: statistics.median(idle / max(idle + busy, 1) for idle, busy in results)
        for case, results in found.items()
    }
    return Figure(
        name="reclaim",
        what="idle memory's part of what is paged out, scanned at every step, as a "
        "fraction of its part without scans",
        how="at least",
        asked=ASKED,
        measured=min(parts[pace, "between"] / parts[pace, "none"] for pace in PACES),
        unit="",
        facts={
            "limit": Cgroup().limit,
            **{
                f"busy {pace}, scans {way}": f"idle part {parts[pace, way]:.3f}; "
                f"idle + busy pages {', '.join(f'{i} + {b}' for i, b in results)}"
                for (pace, way), results in found.items()
            },
        },
    ).publish()


if __name__ == "__main__":
    sys.exit(main())
