# SPDX-License-Identifier: Apache-2.0
"""Do scans leave every page where it is?

A process maps 1 GiB that may merge: half was never touched, a quarter is present,
a quarter was written and then paged out (MADV_PAGEOUT, to a swap file of our own).
Asked: after 10 scans with each reader pagemap's present and swapped bits are those
of before, page by page. Then the same with the filter off: one scan that takes
every page for present must change them, or the test could not fail.

The present quarter is locked in memory: a machine that saves memory by itself (a
DAMON scheme that pages cold memory out, kswapd) would else move pages while
nothing scans, now that there is swap. Nothing of the kind ever brings pages in,
which is what a wrong scan would do.

Needs root, 0.6 GiB of memory and 0.3 GiB of disk.

Run: python -m tests.benchmarks.page_bits_untouched
"""

import pathlib
import sys
import tempfile

import numpy as np

import membuddies_agent.scan
from membuddies_agent import pagemap
from membuddies_agent.compiled import CompiledReader
from membuddies_agent.scan import scan
from membuddies_agent.stretch import PythonReader
from tests.benchmarks.figure import Figure
from tests.functional.agent import processes, swap
from tests.functional.agent.false_pagemap import PRESENT, pagemap_says

SCANS = 10
PAGES = 2**30 // 4096
PAGED_OUT_AT_LEAST = 0.95

# Most borders between two kinds lie inside of the blocks in which a scan reads.
STRIPE = 1024
PRESENT_PAGES = range(256)
ABSENT_BEFORE = 200
PAGED_OUT_PAGES = range(256 + ABSENT_BEFORE, 512 + ABSENT_BEFORE)
STARTS = range(0, PAGES, STRIPE)


def parts(pages: range) -> list[list[int]]:
    """These pages of each stripe."""
    return [[start + pages.start, len(pages)] for start in STARTS]


def written(pages: range) -> list[list[int]]:
    """Random content, part by part, each with a seed of its own."""
    return [[first, count, first + 1] for first, count in parts(pages)]


def states(child: processes.Child) -> np.ndarray:
    """For each page: 1 if it is present, 2 if it is in swap, 0 if it is neither."""
    entries = child.entries()
    return pagemap.present(entries) + 2 * pagemap.swapped(entries)


def main() -> int:
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as folder,
        swap.file(pathlib.Path(folder) / "swap", 320),
        processes.child(
            PAGES,
            write=written(PRESENT_PAGES) + written(PAGED_OUT_PAGES),
            lock=parts(PRESENT_PAGES),
            # What waits in a processor's list to be put in order is passed over.
            pageout=parts(PAGED_OUT_PAGES) * 4,
        ) as child,
    ):
        before = states(child)
        counts = [int(np.count_nonzero(before == state)) for state in range(3)]
        absent, present, swapped = counts
        assert absent == PAGES // 2, f"{absent} pages were never touched"
        assert swapped >= PAGED_OUT_AT_LEAST * PAGES / 4, f"{swapped} are paged out"
        for reader in (CompiledReader, PythonReader):
            membuddies_agent.scan.READER = reader
            for _ in range(SCANS):
                found = scan(child.process)
                assert len(found.ids) == present
        changed = int(np.count_nonzero(states(child) != before))
        membuddies_agent.scan.READER = CompiledReader
        with pagemap_says(child, child.entries() | np.uint64(PRESENT)):
            scan(child.process)
        without = int(np.count_nonzero(states(child) != before))
    facts = {
        "pages never touched, present, paged out": counts,
        "scans": f"{SCANS} with each reader",
    }
    return (
        Figure(
            name="page_bits_untouched",
            what="pages of 1 GiB whose present or swapped bit scans changed",
            how="exactly",
            asked=0,
            measured=changed,
            unit="pages",
            facts=facts,
        ).publish()
        | Figure(
            name="page_bits_without_filter",
            what="the same after one scan that takes every page for present",
            how="at least",
            asked=PAGES // 2,
            measured=without,
            unit="pages",
            facts=facts,
        ).publish()
    )


if __name__ == "__main__":
    sys.exit(main())
