# SPDX-License-Identifier: Apache-2.0
"""How much of a guest holds still, and how its scans would follow.

The recorded guests that were read twice, 90 seconds apart (``NAME.t0.npy`` and
``NAME.t1.npy``). For each: how many of the first reading's items are still there
in the second, what the agent calls stable then, what share of the items that
KSM could merge (those the two readings have in common) a sample of shift 6
estimates from the stable ones, and which interval the agent would choose next.

The figure is the worst error of that estimate, in its own standard errors: what
is called stable must be what is still there.

Run: MEMBUDDIES_CORPUS=FOLDER python -m tests.benchmarks.stability
"""

import functools
import sys
from collections.abc import Callable

from membuddies_agent.pace import Pace, changed_fraction
from membuddies_nova.conf import agent as options
from membuddies_nova.fingerprint import page
from membuddies_nova.fingerprint.sample import MIN_SHIFT, Estimate, Sample
from tests.benchmarks.figure import Figure
from tests.benchmarks.guests import recorded

ASKED_ERRORS = 3.0
APART_SECONDS = 90.0
INTERVALS = 6


def estimate(sample: Sample) -> Estimate:
    """Stable pages by the sample, with the standard error of the count."""
    items, scale = len(sample.model_items), 2**sample.shift
    return Estimate(items * scale, scale * (items * (1 - 1 / scale)) ** 0.5)


def pairs() -> dict[str, tuple[page.Ids, page.Ids]]:
    lists = recorded()
    found = {
        name.removesuffix(".t0"): (ids, lists[name.removesuffix(".t0") + ".t1"])
        for name, ids in lists.items()
        if name.removesuffix(".t0") + ".t1" in lists and name.endswith(".t0")
    }
    if not found:
        raise SystemExit("no guest was read twice; see MEMBUDDIES_CORPUS")
    return found


def intervals(pace: Pace, changed_in: Callable[[float], float]) -> str:
    """A guest's intervals from its second scan on.

    :param changed_in: the part of its stable pages that changes in so many seconds
    """
    seconds = [pace.shortest_seconds]
    while len(seconds) < INTERVALS:
        seconds.append(pace.next_interval(seconds[-1], changed_in(seconds[-1])))
    return ", ".join(f"{one:.0f}" for one in seconds) + " s"


def compounded(changed: float, seconds: float) -> float:
    """The part that changes in some time, if this part does in ``APART_SECONDS``."""
    return 1 - (1 - changed) ** (seconds / APART_SECONDS)


def default(name: str) -> float:
    (option,) = (one for one in options.OPTIONS if one.name == name)
    return float(option.default)


def main() -> int:
    pace = Pace(default("scan_interval_seconds"), default("scan_interval_max_seconds"))
    worst = 0.0
    facts = {}
    for name, (first, second) in pairs().items():
        t0, t1 = (Sample.of_pages(ids, shift=0) for ids in (first, second))
        exact = t1.with_stability(t0)
        still = len(exact.model_items)
        sampled = Sample.of_pages(second, shift=MIN_SHIFT).with_stability(
            Sample.of_pages(first, shift=MIN_SHIFT)
        )
        told = estimate(sampled)
        errors = abs(told.pages - still) / told.standard_error
        worst = max(worst, errors)
        changed = changed_fraction(t0, exact)
        onward = intervals(pace, functools.partial(compounded, changed))
        hot = intervals(pace, lambda seconds: 0.0)
        facts[name] = (
            f"{still / len(t0.items):.1%} of {len(t0.items)} items still there after "
            f"{APART_SECONDS:g} s, {still / len(t1.items):.1%} of the new scan's "
            f"{len(t1.items)} are stable; by the sample {told.pages:.0f} +- "
            f"{told.standard_error:.0f} pages are, in truth {still} "
            f"({errors:.1f} errors); next intervals if ever other pages change so "
            f"fast: {onward}; if always the same: {hot}"
        )
    return Figure(
        name="stability",
        what="stable pages by the sample against those still there, worst guest",
        how="at most",
        asked=ASKED_ERRORS,
        measured=worst,
        unit="standard errors",
        facts=facts,
    ).publish()


if __name__ == "__main__":
    sys.exit(main())
