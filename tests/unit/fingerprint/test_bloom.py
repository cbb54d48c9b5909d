# SPDX-License-Identifier: Apache-2.0
"""Bloom filters estimate sets with the error that they state."""

import math

import numpy as np
import pytest

from membuddies_nova.fingerprint.bloom import BloomFilter, dimensions, union


def filters(*slices, seed=1, error=0.002, items=30_000):
    """Filters of slices of one random list of items."""
    drawn = np.random.default_rng(seed).integers(0, 2**64, 60_000, dtype=np.uint64)
    size, hashes = dimensions(items, error)
    return [BloomFilter.of_items(drawn[part], size, hashes) for part in slices]


def test_no_item_is_ever_missed_and_false_ones_are_as_rare_as_asked():
    drawn = np.random.default_rng(3).integers(0, 2**64, 60_000, dtype=np.uint64)
    inside, outside = drawn[:30_000], drawn[30_000:]
    size, hashes = dimensions(len(inside), 0.01)
    whole = BloomFilter.of_items(inside, size, hashes)

    def found(item):
        one = BloomFilter.of_items(np.array([item], np.uint64), size, hashes)
        return not np.any(one.bits & ~whole.bits)

    assert all(map(found, inside[:300]))
    assert sum(map(found, outside[:3000])) < 60


def test_a_filter_tells_how_many_items_it_holds():
    (whole,) = filters(slice(0, 20_000))
    assert abs(whole.unique_pages() - 20_000) < 200
    (none,) = filters(slice(0, 0))
    assert none.unique_pages() == 0
    assert none.shared_pages(whole).pages == 0


def test_the_error_of_an_intersection_brackets_the_truth():
    """Of 60 estimates, 68 % are expected within one standard error."""
    within = [0, 0]
    for seed in range(60):
        a, b = filters(slice(0, 15_000), slice(10_000, 25_000), seed=seed, error=0.05)
        shared = a.shared_pages(b)
        for sigma in (1, 2):
            error = abs(shared.pages - 5000)
            within[sigma - 1] += error <= sigma * shared.standard_error
    assert 30 <= within[0] <= 52
    assert within[1] >= 53


def test_a_union_of_filters_is_the_filter_of_the_union():
    a, b, whole = filters(slice(0, 9000), slice(4000, 20_000), slice(0, 20_000))
    assert np.array_equal(union([a, b]).bits, whole.bits)
    assert abs(union([a, b]).unique_pages() - 20_000) < 200


def test_a_full_filter_knows_nothing():
    full = BloomFilter(np.full(8, 0xFF, np.uint8), 64, 3)
    assert full.unique_pages() == math.inf
    assert full.shared_pages(full).pages == math.inf


@pytest.mark.parametrize(
    ("items", "error", "expected"), [(1000, 0.01, (9586, 7)), (0, 0.5, (64, 1))]
)
def test_dimensions_follow_from_items_and_error(items, error, expected):
    assert dimensions(items, error) == expected
