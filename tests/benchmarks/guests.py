# SPDX-License-Identifier: Apache-2.0
"""Recorded guests, and any number of distinct ones like them."""

import os
import pathlib
from collections.abc import Iterator

import numpy as np

from membuddies_nova.fingerprint import page, seal
from membuddies_nova.fingerprint.sample import MIN_SHIFT, Counters, Sample

SECRET = bytes(range(32))
KEY = seal.SealKey(SECRET)
_EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


def recorded() -> dict[str, page.Ids]:
    """Page lists by name, of MEMBUDDIES_CORPUS or the examples."""
    folder = pathlib.Path(os.environ.get("MEMBUDDIES_CORPUS", _EXAMPLES))
    found = {path.stem: np.load(path) for path in sorted(folder.glob("*.npy"))}
    lists = {name: ids for name, ids in found.items() if ids.dtype == np.uint64}
    if not lists:
        raise SystemExit(f"no page lists (.npy of uint64) in {folder}")
    return lists


def like_recorded(pages: int) -> Iterator[Sample]:
    """Samples of distinct guests of so many pages, at the finest shift.

    A guest is one recorded guest again and again up to its size, so that the
    parts of zero, repeated and unique pages stay. The first time nine tenths of
    its unique pages are the recorded ones, so that kin share; all others are
    the guest's own.
    """
    lists = list(recorded().values())
    zero = np.uint64(page.zero_page_id())
    uniques = [np.setdiff1d(ids, [zero]) for ids in lists]
    zeros = [int(np.count_nonzero(ids == zero)) for ids in lists]
    for number in range(2**32):
        kind = number % len(lists)
        times = round(pages / len(lists[kind]))
        unique = uniques[kind]
        first = unique.copy()
        first[::10] = _mixed(unique[::10], np.uint64(number << 12))
        parts = [first] + [
            _mixed(unique, np.uint64((number << 12) + time)) for time in range(1, times)
        ]
        ids = np.concatenate(parts)
        counters = Counters(
            resident_pages=times * len(lists[kind]),
            unique_pages=len(ids),
            zero_pages=times * zeros[kind],
        )
        # Only ids with enough leading zeros are sampled: no need to sort others.
        sampled = np.unique(ids[ids < np.uint64(1 << (64 - MIN_SHIFT))])
        yield Sample.of_unique(sampled, counters, shift=MIN_SHIFT)


def _mixed(ids: page.Ids, salt: np.uint64) -> page.Ids:
    """Other ids, as random as the given ones: SplitMix64's finish."""
    with np.errstate(over="ignore"):
        mixed = ids + (salt + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))
