# SPDX-License-Identifier: Apache-2.0
"""How near a scan comes to the speed of reading alone, and to the original.

A process holds 1 GiB of mergeable memory like a guest: most pages present, some
written with zeros, some only read so that the kernel's zero page is there, some
absent. A scan with all that belongs to it (mappings, pagemap, reading, hashing,
unique count, sample) is set against process_vm_readv(2) of the same pages, less
the kernel's zero pages, which a scan need not read, into one reused buffer at
its fastest block size of 64 KiB to 1 MiB; then again with half of the pages
merged. Then against the original's method.

All are taken in one run, one after the other in each of 9 rounds; the figure is
the median of the rounds' ratios. What is counted is processor time of the one
thread, so that others on the machine do not count.

Needs root, and KSM for itself: it waits for the lock that the tests hold, too.

Run: python -m tests.benchmarks.scan_throughput
"""

import contextlib
import ctypes
import functools
import mmap
import os
import pathlib
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np

import membuddies_agent.scan
from membuddies_agent import memory, pagemap, procfs
from membuddies_agent.compiled import CompiledReader
from membuddies_agent.scan import scan
from membuddies_agent.stretch import PythonReader
from membuddies_nova.fingerprint import codec, page
from tests.benchmarks.figure import Figure
from tests.benchmarks.guests import KEY
from tests.functional.agent import ksm, processes

ROUNDS = 9
BLOCK_SIZES = [2**power for power in range(16, 21)]

ROOT = pathlib.Path(__file__).parents[2]
SOURCE = pathlib.Path(__file__).with_name("original_method.c")

# In pages. KSM merges the written zeros and what another process holds, too:
# half of what is read.
PART = 8192
GUEST = 32 * PART
WRITTEN = 20 * PART
ZEROS = 4 * PART
TOUCHED = 2 * PART
SHARED = 8 * PART


def parts(first: int, pages: int) -> list[list[int]]:
    """Random content, part by part, each with a seed of its own."""
    return [[start, PART, start] for start in range(first, first + pages, PART)]


def guest_child() -> contextlib.AbstractContextManager[processes.Child]:
    return processes.child(
        GUEST,
        write=parts(0, WRITTEN),
        zero=[[WRITTEN, ZEROS]],
        touch=[[WRITTEN + ZEROS, TOUCHED]],
    )


def built(directory: pathlib.Path) -> ctypes.CDLL:
    """What is measured against, in C, with the optimisation that is asked."""
    library = directory / "original.so"
    includes = [ROOT / "guest_kmod", ROOT / "agent" / "membuddies_agent"]
    includes.append(pathlib.Path(sysconfig.get_path("include")))
    subprocess.run(
        [
            *("gcc", "-O2", "-shared", "-fPIC", str(SOURCE), "-o", str(library)),
            *(f"-I{include}" for include in includes),
        ],
        check=True,
    )
    found = ctypes.PyDLL(str(library))
    found.original_list.restype = found.read_ranges.restype = ctypes.c_long
    return found


def seconds(work: Callable[[], object]) -> float:
    before = time.thread_time()
    work()
    return time.thread_time() - before


class Bench:
    """One guest, and what is done with its memory."""

    def __init__(self, child: processes.Child, c: ctypes.CDLL, text: pathlib.Path):
        self.child = child
        self.process = child.process
        self.c = c
        self.text = text
        entries = child.entries()
        self.present = int(np.count_nonzero(pagemap.present(entries)))
        readable = pagemap.present(entries) & (
            pagemap.frames(entries) != pagemap.zero_frame()
        )
        self.read_pages = int(np.count_nonzero(readable))
        self.ranges = memory._ranges(child.address, np.flatnonzero(readable))
        self.buffer = mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.buffer))
        self.ids = np.empty(GUEST, dtype=np.uint64)

    def scan(self, reader: type) -> float:
        membuddies_agent.scan.READER = reader
        return seconds(lambda: scan(self.process).sample())

    def reading_alone(self) -> list[Callable[[], float]]:
        """Reading with each block size."""
        return [functools.partial(self._reading, size) for size in BLOCK_SIZES]

    def _reading(self, size: int) -> float:
        before = time.thread_time()
        read = self.c.read_ranges(
            self.process.pid,
            ctypes.c_void_p(self.ranges.ctypes.data),
            ctypes.c_size_t(len(self.ranges)),
            ctypes.c_void_p(self.address),
            ctypes.c_size_t(size),
        )
        taken = time.thread_time() - before
        assert read == self.read_pages * page.PAGE_SIZE
        return taken

    def original(self) -> float:
        self.text.unlink(missing_ok=True)
        with procfs.ProcessFiles(self.process) as files:
            table, content = files.open("pagemap"), files.open("mem")
        try:
            return seconds(lambda: self._list(table, content))
        finally:
            os.close(table)
            os.close(content)

    def _list(self, table: int, content: int) -> None:
        listed = self.c.original_list(
            self.process.pid,
            table,
            content,
            ctypes.c_uint64(self.child.address),
            ctypes.c_uint64(GUEST),
            ctypes.c_void_p(self.address),
            ctypes.c_void_p(self.ids.ctypes.data),
            os.fsencode(self.text),
        )
        assert listed == self.present

    def hashing(self, ours: bool, times: int = 64) -> float:
        """Seconds to hash what lies in the buffer, again and again."""
        pages = len(self.buffer) // page.PAGE_SIZE

        def work() -> None:
            for _ in range(times):
                self.c.hash_pages(
                    int(ours),
                    ctypes.c_void_p(self.address),
                    ctypes.c_size_t(pages),
                    ctypes.c_void_p(self.ids.ctypes.data),
                )

        return seconds(work)


def ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def speed(pages: int, taken: list[float]) -> str:
    return f"{pages * page.PAGE_SIZE / statistics.median(taken) / 1e9:.2f} GB/s"


def rounds(*works: Callable[[], float]) -> Iterator[list[float]]:
    """Seconds of each work in each round, the works in turn."""
    taken = [[work() for work in works] for _ in range(ROUNDS)]
    return map(list, zip(*taken, strict=True))


def fastest(readings: list[list[float]]) -> tuple[list[float], str]:
    """The rounds of the fastest block size, and that size.

    It is chosen by all rounds: the quickest of each round would be the luckiest.
    """
    best = min(range(len(readings)), key=lambda each: statistics.median(readings[each]))
    return readings[best], f"{BLOCK_SIZES[best] >> 10} KiB"


def unmerged(bench: Bench) -> int:
    compiled, python, original, ours, theirs, *readings = rounds(
        lambda: bench.scan(CompiledReader),
        lambda: bench.scan(PythonReader),
        bench.original,
        lambda: bench.hashing(True),
        lambda: bench.hashing(False),
        *bench.reading_alone(),
    )
    reading, size = fastest(readings)
    membuddies_agent.scan.READER = CompiledReader
    found = scan(bench.process)
    assert len(found.ids) == bench.present
    sent = len(codec.encode(found.sample().sealed(KEY)))
    facts = {
        "present pages": bench.present,
        "of these, the kernel's zero page": bench.present - bench.read_pages,
        "rounds": ROUNDS,
        "reading alone": speed(bench.read_pages, reading),
        "its fastest block size": size,
    }
    return (
        Figure(
            name="scan_throughput",
            what="scan against reading alone, nothing merged",
            how="at least",
            asked=0.70,
            measured=ratio(reading, compiled),
            unit="times its throughput",
            facts={**facts, "aim": 0.75, "scan": speed(bench.read_pages, compiled)},
        ).publish()
        | Figure(
            name="scan_throughput_python",
            what="scan in pure Python against reading alone, nothing merged",
            how="at least",
            asked=0.40,
            measured=ratio(reading, python),
            unit="times its throughput",
            facts={**facts, "scan": speed(bench.read_pages, python)},
        ).publish()
        | Figure(
            name="scan_against_original",
            what="scan against the original's method, all in all",
            how="at least",
            asked=2.0,
            measured=ratio(original, compiled),
            unit="times faster",
            facts={
                "hashing alone": f"{ratio(theirs, ours):.1f} times faster",
                "the original's method": speed(bench.read_pages, original),
            },
        ).publish()
        | Figure(
            name="scan_bytes",
            what="bytes of a sealed sample against 4 a present page",
            how="at least",
            asked=28.0,
            measured=4 * bench.present / sent,
            unit="times fewer",
            facts={
                "bytes": sent,
                "against the text list": f"{bench.text.stat().st_size / sent:.0f}",
            },
        ).publish()
    )


def merged(bench: Bench, twin: Bench) -> int:
    """:param twin: the same memory unmerged: reading alone pins, and un-merges"""
    assert bench.read_pages == twin.read_pages
    is_merged = ksm.merged(bench.child)
    frames = pagemap.frames(bench.child.entries())[is_merged]
    repeated = len(frames) - len(np.unique(frames))
    compiled, *readings = rounds(
        lambda: bench.scan(CompiledReader), *twin.reading_alone()
    )
    reading, size = fastest(readings)
    assert np.array_equal(ksm.merged(bench.child), is_merged)
    return Figure(
        name="scan_throughput_merged",
        what="scan against reading alone, half of the pages merged",
        how="at least",
        asked=0.5,
        measured=ratio(reading, compiled),
        unit="times its throughput",
        facts={
            "pages read": bench.read_pages,
            "of these, merged": int(np.count_nonzero(is_merged)),
            "of frames that were read before in the same scan": repeated,
            "scan": speed(bench.read_pages, compiled),
            "reading alone": speed(bench.read_pages, reading),
            "its fastest block size": size,
        },
    ).publish()


def main() -> int:
    with (
        ksm.borrowed(),
        tempfile.TemporaryDirectory() as directory,
        guest_child() as child,
    ):
        folder = pathlib.Path(directory)
        c = built(folder)
        bench = Bench(child, c, folder / "list.txt")
        status = unmerged(bench)
        with processes.child(SHARED, write=parts(0, SHARED)):
            ksm.converge()
            with guest_child() as other:
                return status | merged(bench, Bench(other, c, bench.text))


if __name__ == "__main__":
    sys.exit(main())
