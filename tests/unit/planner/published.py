# SPDX-License-Identifier: Apache-2.0
"""The worked example of the Memory Buddies paper, as page lists.

The pairwise sharing is the published table's and nothing else is shared: each
shared page has exactly two holders.
"""

import functools

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.model.snapshot import ClusterSnapshot
from tests.unit.model.clusters import snapshot_of_pages

SIZES_MB = {"VM0": 1024, "VM1": 2048, "VM2": 1024, "VM3": 2048, "VM4": 1024}
HOSTS = {"VM0": "M0", "VM1": "M0", "VM2": "M1", "VM3": "M1", "VM4": "M2"}
UNIQUE_MB = {"VM0": 790, "VM1": 1000, "VM2": 813, "VM3": 1556, "VM4": 857}
SHARED_MB = {
    ("VM0", "VM1"): 254,
    ("VM0", "VM2"): 235,
    ("VM0", "VM3"): 33,
    ("VM0", "VM4"): 207,
    ("VM1", "VM2"): 121,
    ("VM1", "VM3"): 33,
    ("VM1", "VM4"): 114,
    ("VM2", "VM3"): 12,
    ("VM2", "VM4"): 339,
    ("VM3", "VM4"): 10,
}


def published_pages(pages_per_mb: int = 256) -> dict[str, list[int]]:
    """The guests' page numbers; fewer pages for each MB make a smaller model."""
    pages: dict[str, list[int]] = {guest: [] for guest in UNIQUE_MB}
    fresh = 0

    def hand_out(count: int, *guests: str) -> None:
        nonlocal fresh
        for guest in guests:
            pages[guest].extend(range(fresh, fresh + count))
        fresh += count

    for pair, shared_mb in SHARED_MB.items():
        hand_out(shared_mb * pages_per_mb, *pair)
    for guest, unique_mb in UNIQUE_MB.items():
        hand_out(unique_mb * pages_per_mb - len(pages[guest]), guest)
    return pages


@functools.cache
def published_snapshot() -> ClusterSnapshot:
    return snapshot_of_pages(
        published_pages(),
        hosts=[Host(name=name, memory_mb=3072) for name in ("M0", "M1", "M2")],
        guests=[
            Guest(uuid=name, name=name, memory_mb=size, host=HOSTS[name])
            for name, size in SIZES_MB.items()
        ],
    )
