# SPDX-License-Identifier: Apache-2.0
"""Small clusters for tests: guests given as sets of page numbers."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.fingerprint import page
from membuddies_nova.fingerprint.sample import Sample
from membuddies_nova.model.snapshot import ClusterSnapshot


def page_ids(numbers: page.Ids) -> page.Ids:
    """Well-mixed ids for pages that a test knows by number (splitmix64)."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def sample_of(numbers: Iterable[int], shift: int = 0) -> Sample:
    ids = page_ids(np.fromiter(numbers, np.uint64))
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
