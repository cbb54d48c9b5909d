# SPDX-License-Identifier: Apache-2.0
"""Recorded guests, and any number of distinct ones like them."""

import os
import pathlib
from collections.abc import Iterator

import numpy as np

from membuddies_nova.fingerprint import page, seal

KEY = seal.SealKey(bytes(range(32)))
_EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


def recorded() -> dict[str, page.Ids]:
    """Page lists by name, of MEMBUDDIES_CORPUS or the examples."""
    folder = pathlib.Path(os.environ.get("MEMBUDDIES_CORPUS", _EXAMPLES))
    found = {path.stem: np.load(path) for path in sorted(folder.glob("*.npy"))}
    lists = {name: ids for name, ids in found.items() if ids.dtype == np.uint64}
    if not lists:
        raise SystemExit(f"no page lists (.npy of uint64) in {folder}")
    return lists


def like_recorded(pages: int, seed: int = 0) -> Iterator[page.Ids]:
    """Distinct guests of so many pages each, as the recorded ones are made.

    A guest repeats the pages of one recorded guest up to its size with ids of
    its own for every repetition but the first, so that the parts of zero,
    repeated and unique pages stay, and no two guests are equal.
    """
    lists = list(recorded().values())
    zero = np.uint64(page.zero_page_id())
    for number in range(2**32):
        base = lists[number % len(lists)]
        parts, size = [], 0
        while size < pages:
            salt = np.uint64((seed * 1_000_003 + number) * 4096 + len(parts))
            part = base if not parts else _mixed(base, salt)
            part[base == zero] = zero
            # A tenth of the first part is the guest's own, too.
            if not parts:
                part = part.copy()
                own = slice(None, None, 10)
                part[own] = _mixed(base[own], salt + np.uint64(2**40))
                part[base == zero] = zero
            parts.append(part)
            size += len(part)
        yield np.concatenate(parts)[:pages]


def _mixed(ids: page.Ids, salt: np.uint64) -> page.Ids:
    """Other ids, as random as the given ones: SplitMix64's finish."""
    with np.errstate(over="ignore"):
        mixed = ids + (salt + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))
