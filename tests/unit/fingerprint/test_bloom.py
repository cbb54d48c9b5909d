# SPDX-License-Identifier: Apache-2.0
"""Bloom filters estimate sets with the error that they state."""

import functools

import numpy as np
import pytest

from membuddies_nova import exceptions
from membuddies_nova.fingerprint import bloom
from membuddies_nova.fingerprint.bloom import BloomFilter, dimensions
from membuddies_nova.fingerprint.sample import Sample
from tests.unit.fingerprint.strategies import KEY


def drawn_ids(seed=1):
    return np.random.default_rng(seed).integers(0, 2**64, 60_000, dtype=np.uint64)


def filters(*slices, seed=1, error=0.002, items=30_000):
    """Filters of slices of one random list of ids."""
    size, hashes = dimensions(items, error)
    return [filled(drawn_ids(seed)[part], size, hashes) for part in slices]


def filled(ids, size, hashes):
    return BloomFilter.of_list(Sample.of_pages(ids, shift=0), size, hashes)


def test_no_page_is_ever_missed_and_false_ones_are_as_rare_as_asked():
    inside, outside = drawn_ids(3)[:30_000], drawn_ids(3)[30_000:]
    size, hashes = dimensions(len(inside), 0.01)
    whole = filled(inside, size, hashes)

    def found(item):
        one = filled(np.array([item], np.uint64), size, hashes)
        return not np.any(one.bits & ~whole.bits)

    assert all(map(found, inside[:300]))
    assert sum(map(found, outside[:3000])) < 60


def test_a_guests_own_pages_are_counted_exactly_whatever_the_filter():
    (whole,) = filters(slice(0, 20_000), error=0.5, items=100)
    assert whole.unique_pages == 20_000


def test_what_is_empty_shares_nothing():
    none, whole = filters(slice(0, 0), slice(0, 20_000))
    assert none.shared_pages(whole).pages == 0
    assert none.union(whole).unique_pages == 20_000


def test_the_error_of_an_intersection_brackets_the_truth():
    """Of 60 estimates, 68 % are expected within one standard error."""
    within = [0, 0]
    size, hashes = 2**16 * 3, 4
    for seed in range(60):
        ids = drawn_ids(seed)
        a, b = (
            filled(ids[part], size, hashes)
            for part in (slice(0, 15_000), slice(10_000, 25_000))
        )
        shared = a.shared_pages(b)
        for sigma in (1, 2):
            error = abs(shared.pages - 5000)
            within[sigma - 1] += error <= sigma * shared.standard_error
    assert 30 <= within[0] <= 52
    assert within[1] >= 53


def test_a_union_of_filters_is_the_filter_of_the_union():
    a, b, whole = filters(slice(0, 9000), slice(4000, 20_000), slice(0, 20_000))
    union = functools.reduce(BloomFilter.union, [a, b])
    assert np.array_equal(union.bits, whole.bits)
    assert abs(union.unique_pages - 20_000) < 200
    assert union.counters.resident_pages == 25_000


def test_a_larger_filter_is_folded_to_a_smaller_one():
    ids = drawn_ids()
    large, small = filled(ids, 2**20, 3), filled(ids, 2**18, 3)
    assert np.array_equal(large.folded(2**18).bits, small.bits)
    other = filled(ids[30_000:], 2**19, 3)
    assert abs(large.shared_pages(other).pages - 30_000) < 600
    assert other.union(large).size == 2**19


def test_a_full_filter_is_said_to_be_too_small():
    a = filled(drawn_ids(), 64, 3)
    with pytest.raises(exceptions.FingerprintError, match="64 bits is too small"):
        a.shared_pages(a)
    with pytest.raises(exceptions.FingerprintError, match="64 bits is too small"):
        a.union(a)


def test_a_filter_needs_every_page():
    with pytest.raises(exceptions.FingerprintError, match="not one of 64"):
        BloomFilter.of_list(Sample.of_pages(drawn_ids(), shift=6), 64, 1)


def test_a_filter_of_sealed_pages_is_sealed_and_tells_the_same():
    ids = drawn_ids()[:2000]
    sealed = [
        BloomFilter.of_list(Sample.of_pages(part, shift=0).sealed(KEY), 2**16, 3)
        for part in (ids[:1500], ids[500:])
    ]
    assert sealed[0].key_id == KEY.key_id
    assert abs(sealed[0].shared_pages(sealed[1]).pages - 1000) < 60
    assert not np.array_equal(sealed[0].bits, filled(ids[:1500], 2**16, 3).bits)


@pytest.mark.parametrize(
    ("other", "attribute"),
    [
        ({"hashes": 2}, "number of hashes"),
        ({"size": 3 * 2**10}, "size"),
    ],
)
def test_filters_of_other_shapes_are_not_compared(other, attribute):
    shape = {"size": 2**12, "hashes": 3}
    a, b = filled(drawn_ids(), **shape), filled(drawn_ids(), **{**shape, **other})
    with pytest.raises(exceptions.IncompatibleFingerprintsError) as error:
        a.union(b)
    assert error.value.attribute == attribute


@pytest.mark.parametrize(
    ("items", "error", "expected"),
    [(1000, 0.01, (2**14, 7)), (0, 0.5, (64, 1)), (2**20, 0.002, (2**24, 9))],
)
def test_dimensions_follow_from_items_and_error(items, error, expected):
    assert dimensions(items, error) == expected


def test_the_number_of_hashes_follows_from_the_error_alone():
    assert {dimensions(items, 0.002)[1] for items in (1, 10**3, 10**7)} == {9}


def test_a_filter_that_would_be_too_large_is_refused():
    with pytest.raises(exceptions.FingerprintError, match="too large"):
        dimensions(bloom.MAX_BITS, 0.002)
