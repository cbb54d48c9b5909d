#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do scans leave merged memory merged?

Asked: the distinct physical frames and the KSM pages of a converged merged
pair, before and after 10 scans with ksmd stopped, unchanged to the page. The
pair are two processes with 64 MB of mergeable memory: half of it is the other's
too, a part repeats itself, a part is zero, a part was never touched. Then one
of them ends, and the other, which now maps every merged page alone, is scanned
10 times more.

    python -m tests.benchmarks.merged_pair_untouched

Needs root, and KSM for itself: it waits for the lock that the tests hold,
too. Prints asked and measured, writes both below build/benchmarks, and exits 1
if a page changed.
"""

import dataclasses
import json
import pathlib
import sys

import numpy as np

from membuddies_agent import pagemap
from membuddies_agent.scan import scan
from tests.functional.agent import ksm, processes

RESULT = pathlib.Path("build/benchmarks/merged_pair_untouched.json")
SCANS = 10
PAGES = 16384


@dataclasses.dataclass(frozen=True)
class Count:
    """What the kernel holds for some processes."""

    distinct_frames: int
    ksm_pages: int


def count(*children: processes.Child) -> Count:
    frames, merged = [], 0
    for child in children:
        entries = child.entries()
        frames.append(pagemap.frames(entries[pagemap.present(entries)]))
        merged += int(np.count_nonzero(ksm.merged(child)))
    return Count(len(np.unique(np.concatenate(frames))), merged)


def measure() -> dict[str, dict[str, Count]]:
    """Scan a merged pair, then what is left of it."""
    quarter = PAGES // 4

    def guest(own_seed: int) -> dict[str, list[list[int]]]:
        return {
            "write": [
                [0, 2 * quarter, 1],
                [2 * quarter, quarter // 2, own_seed],
                [2 * quarter + quarter // 2, quarter // 2, own_seed],
            ],
            "touch": [[3 * quarter, quarter // 2]],
        }

    results = {}
    with (
        ksm.borrowed(),
        processes.child(PAGES, **guest(2)) as left,
        processes.child(PAGES, **guest(3)) as right,
    ):
        ksm.converge()
        before = count(left, right)
        for _ in range(SCANS):
            scan(left.process)
            scan(right.process)
        results["pair"] = {"before": before, "after": count(left, right)}
        right.kill()
        before = count(left)
        for _ in range(SCANS):
            scan(left.process)
        results["one left over"] = {"before": before, "after": count(left)}
    return results


def main() -> int:
    results = measure()
    missed = False
    print(f"{SCANS} scans with ksmd stopped; asked: unchanged to the page")
    for name, result in results.items():
        before, after = result["before"], result["after"]
        unchanged = before == after and before.ksm_pages > 0
        missed |= not unchanged
        print(
            f"  {name}: distinct frames {before.distinct_frames} -> "
            f"{after.distinct_frames}, KSM pages {before.ksm_pages} -> "
            f"{after.ksm_pages}: {'reached' if unchanged else 'MISSED'}"
        )
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    plain = {
        name: {when: dataclasses.asdict(one) for when, one in result.items()}
        for name, result in results.items()
    }
    RESULT.write_text(
        json.dumps({"scans": SCANS, "reached": not missed, **plain}, indent=2) + "\n"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
