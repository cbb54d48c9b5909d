# SPDX-License-Identifier: Apache-2.0
"""How many guests fit by five policies, on mixes like the recorded guests.

The mixes, their hosts and the seeds 0 to 19 stand in ``capacity_mixes`` and were
fixed before any result. (a) and (b) are of the published experiments' kind: 4 hosts
(20 guests against 17) and 100 hosts (469 against 406). (c) interleaves two releases
of the same roles. (d) begins with one guest a host and empties hosts.

A plot is left in build/benchmarks/capacity.png.

Run: python -m tests.benchmarks.capacity [SEEDS]
"""

import sys
from collections.abc import Mapping, Sequence

import numpy as np

from membuddies_nova.plan import Goal
from membuddies_nova.planner import plan
from membuddies_nova.planner.capacity import POLICIES, fill
from tests.benchmarks.capacity_mixes import FLAVOR_MB, MIXES, one_each, waiting
from tests.benchmarks.figure import DIRECTORY, Figure

SEEDS = 20
PUBLISHED = {"a": "20 against 17 (+17.6 %)", "b": "469 against 406 (+15.5 %)"}
WHY = (
    "the published guests shared more: theirs were identical but for the application, "
    "while of recorded guests 40 % of the pages are their release's and 14 % their "
    "image's; and rule (2) admits a guest only if it fits whole before it merges"
)
CONSOLIDATION = (30, 2048)

Counts = Mapping[str, Sequence[int]]
"""Guests that fit, by policy, one for each seed."""


def counts(seeds: int) -> dict[str, Counts]:
    found: dict[str, Counts] = {}
    for mix in MIXES:
        snapshots = [waiting(mix, seed) for seed in range(seeds)]
        found[mix.name] = {
            policy: [fill(snapshot, policy).placed for snapshot in snapshots]
            for policy in POLICIES
        }
    return found


def hosts_left(seeds: int) -> list[int]:
    """(d): hosts in use after the plan ``consolidate``."""
    hosts, host_mb = CONSOLIDATION
    left = []
    for seed in range(seeds):
        snapshot = one_each(hosts, host_mb, seed)
        planned = plan(snapshot, goal=Goal.CONSOLIDATE)
        left.append(hosts - len(planned.hosts_freed))
    return left


def above(counted: Counts, other: str) -> list[float]:
    """By how many percent union fits more than another policy, for each seed."""
    pairs = zip(counted["union"], counted[other], strict=True)
    return [100.0 * (union / fitted - 1.0) for union, fitted in pairs]


def spread(values: Sequence[float]) -> str:
    return f"mean {np.mean(values):.1f}, {min(values):.4g} to {max(values):.4g}"


def figures(found: Mapping[str, Counts]) -> list[Figure]:
    figures = []
    for mix, other, asked in (
        ("a", "first-fit", 7.0),
        ("b", "first-fit", 7.0),
        ("c", "image", 5.0),
        ("c", "ram-spread", 5.0),
    ):
        more = above(found[mix], other)
        facts = {policy: spread(placed) for policy, placed in found[mix].items()}
        if mix in PUBLISHED:
            facts |= {"published": PUBLISHED[mix], "why it differs": WHY}
        figures.append(
            Figure(
                name=f"capacity_{mix}_{other.replace('-', '_')}",
                what=f"({mix}) guests that union fits beyond {other}",
                how="at least",
                asked=asked,
                measured=float(np.mean(more)),
                unit="%",
                facts={"seeds": len(more), "range": spread(more), **facts},
            )
        )
    return figures


def draw(found: Mapping[str, Counts]) -> None:
    """Means with their ranges, each mix in proportion to its first-fit."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4))
    for number, policy in enumerate(POLICIES):
        parts = [
            100.0 * np.array(counted[policy]) / np.mean(counted["first-fit"])
            for counted in found.values()
        ]
        means = [float(part.mean()) for part in parts]
        low = [mean - part.min() for mean, part in zip(means, parts, strict=True)]
        high = [part.max() - mean for mean, part in zip(means, parts, strict=True)]
        places = np.arange(len(parts)) + 0.16 * (number - 2)
        axes.bar(places, means, 0.15, yerr=[low, high], capsize=2, label=policy)
    labels = [f"({mix.name}) {mix.hosts} hosts" for mix in MIXES]
    axes.set_xticks(np.arange(len(labels)), labels)
    axes.set_ylabel("guests that fit, first-fit = 100")
    axes.set_ylim(bottom=60)
    axes.legend(ncols=5, loc="upper center", fontsize="small")
    figure.tight_layout()
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    figure.savefig(DIRECTORY / "capacity.png", dpi=110)
    pyplot.close(figure)


def main(seeds: int) -> int:
    found = counts(seeds)
    draw(found)
    status = max([figure.publish() for figure in figures(found)])
    left = hosts_left(seeds)
    hosts, host_mb = CONSOLIDATION
    whole = -(-hosts // (host_mb // FLAVOR_MB))
    return max(
        status,
        Figure(
            name="capacity_d_consolidation",
            what=f"(d) of {hosts} hosts with one guest each, in use afterwards",
            how="at most",
            asked=whole,
            measured=float(np.mean(left)),
            unit="hosts",
            facts={"range": spread(left), "asked": "as few as unshared guests need"},
        ).publish(),
    )


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS))
