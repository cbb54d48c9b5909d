# SPDX-License-Identifier: Apache-2.0
"""Small clusters for tests: guests given as sets of page numbers."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.fingerprint.sample import Sample
from membuddies_nova.model.snapshot import ClusterSnapshot


def page_id(number: int) -> int:
    """A well-mixed id for a page that a test knows by number (splitmix64)."""
    mask = 2**64 - 1
    mixed = (number + 0x9E3779B97F4A7C15) & mask
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
    return mixed ^ (mixed >> 31)


def sample_of(numbers: Iterable[int], shift: int = 0) -> Sample:
    ids = np.array([page_id(number) for number in numbers], np.uint64)
    return Sample.of_pages(ids, shift=shift)


def snapshot_of_pages(
    pages: Mapping[str, Iterable[int]],
    *,
    hosts: Sequence[Host] = (Host(name="m0", memory_mb=1024),),
    guests: Sequence[Guest] | None = None,
    shift: int = 0,
) -> ClusterSnapshot:
    """A snapshot whose guests hold these pages; unplaced unless given."""
    if guests is None:
        guests = [Guest(uuid=name, name=name, memory_mb=1) for name in pages]
    return ClusterSnapshot(
        hosts=tuple(hosts),
        guests=tuple(guests),
        samples={
            name: sample_of(numbers, shift=shift) for name, numbers in pages.items()
        },
    )
