# SPDX-License-Identifier: Apache-2.0
"""Small random clusters for comparisons with the exact optimum.

Up to 4 hosts and 12 guests, each of one of a few images: pages of the image,
pages of its operating system, and pages of its own, in blocks. Hosts are of one
size, or of two; placed at random where there is room.

In roomy clusters hosts are a third to four fifths full, and Placement counts
memory once. In tight ones they are four fifths to wholly full, and in two of
three Placement allows more memory than there is, so that the real memory rule
binds: often no guest can move at all, or only after others.
"""

import numpy as np

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.fingerprint.sample import Counters, Sample
from membuddies_nova.model.snapshot import ClusterSnapshot

PAGES_PER_MB = 256


ROOMY = (1.25, 1.5, 2.0, 3.0)
TIGHT = (1.0, 1.05, 1.1, 1.25)
RATIOS = (1.0, 1.25, 1.5)


def random_cluster(seed: int) -> ClusterSnapshot:
    """A roomy one. The same seed gives the same cluster."""
    return _cluster(np.random.default_rng(seed), seed, ROOMY, (1.0,))


def tight_cluster(seed: int) -> ClusterSnapshot:
    """A tight one. The same seed gives the same cluster."""
    return _cluster(np.random.default_rng(seed), seed, TIGHT, RATIOS)


def _cluster(random, seed, slacks, ratios) -> ClusterSnapshot:
    sizes_mb = random.choice([1, 1, 2, 4], int(random.integers(4, 13)))
    ids = random.integers(0, 2**64, 1 << 16, dtype=np.uint64)
    pages = [_pages(random, int(size)) for size in sizes_mb]
    count = int(random.integers(2, 5))
    slack = float(random.choice(slacks))
    # A ratio that is the only one is not drawn: older seeds keep their clusters.
    ratio = float(random.choice(ratios)) if len(ratios) > 1 else ratios[0]
    host_mb = max(int(sizes_mb.sum() * slack / ratio / count) + 1, int(sizes_mb.max()))
    hosts = [
        Host(
            name=f"m{number}",
            memory_mb=host_mb + (2 if number == 0 and seed % 3 == 0 else 0),
            ram_allocation_ratio=ratio,
        )
        for number in range(count)
    ]
    used = dict.fromkeys(range(count), 0)
    held: dict[int, set[int]] = {at: set() for at in used}
    guests, samples = [], {}
    for number, size in enumerate(sizes_mb):
        room = [
            at
            for at in used
            if used[at] + size <= hosts[at].memory_mb * ratio
            and len(held[at].union(pages[number])) <= hosts[at].memory_mb * PAGES_PER_MB
        ]
        if not room:
            continue
        at = int(random.choice(room))
        used[at] += int(size)
        held[at].update(pages[number])
        uuid = f"vm{number}"
        guests.append(Guest(uuid=uuid, name=uuid, memory_mb=int(size), host=f"m{at}"))
        items = np.sort(ids[pages[number]])
        samples[uuid] = Sample(
            items=items,
            shift=0,
            counters=Counters(
                resident_pages=len(items), unique_pages=len(items), zero_pages=0
            ),
        )
    return ClusterSnapshot(hosts=tuple(hosts), guests=tuple(guests), samples=samples)


def _pages(random: np.random.Generator, size_mb: int) -> list[int]:
    """Page numbers of a guest that fills its memory to some part."""
    image = int(random.integers(0, 4))
    system = image % 2
    room = int(size_mb * PAGES_PER_MB * random.uniform(0.5, 1.0))
    shared = [1000 * system + page for page in range(120)]
    shared += [5000 + 1000 * image + page for page in range(140)]
    shared = [page for page in shared if random.random() < 0.9]
    own = random.choice(40_000, size=max(room - len(shared), 0), replace=False) + 20_000
    return sorted({*shared[:room], *(int(page) for page in own)})
