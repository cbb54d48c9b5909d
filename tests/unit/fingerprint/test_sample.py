# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from membuddies_nova import exceptions
from membuddies_nova.cluster import Guest, Scope
from membuddies_nova.fingerprint import bloom, page, sample, seal
from membuddies_nova.model.sharing import SharingModel
from membuddies_nova.model.snapshot import ClusterSnapshot
from tests.unit.fingerprint.strategies import KEY, page_lists, shifts

ZERO = page.zero_page_id()


def model(samples):
    names = [str(number) for number in range(len(samples))]
    guests = tuple(Guest(uuid=name, name=name, memory_mb=0) for name in names)
    return SharingModel(
        ClusterSnapshot(
            hosts=(), guests=guests, samples=dict(zip(names, samples, strict=True))
        ),
        Scope.GLOBAL,
    )


def shared_pages(a, b):
    return model([a, b]).shared_pages("0", "1")


def union_pages(samples):
    whole = model(samples)
    return whole.host_pages(whole.uuids)


def exact(ids):
    return set(ids.tolist()) - {ZERO}


@given(page_lists)
def test_counters_of_a_page_list_are_exact(ids):
    counters = sample.Sample.of_pages(ids, shift=6).counters
    assert counters.resident_pages == len(ids)
    assert counters.unique_pages == len(exact(ids))
    assert counters.zero_pages == ids.tolist().count(ZERO)
    assert counters.self_shared_pages == sum(
        ids.tolist().count(i) - 1 for i in exact(ids)
    )


@given(page_lists, shifts)
def test_a_sample_keeps_exactly_the_ids_with_enough_leading_zeros(ids, shift):
    taken = sample.Sample.of_pages(ids, shift=shift)
    assert taken.items.tolist() == sorted(
        i for i in exact(ids) if i >> (64 - shift) == 0
    )


@given(page_lists, page_lists)
def test_with_shift_0_shared_pages_are_the_exact_intersection(a, b):
    estimate = shared_pages(
        sample.Sample.of_pages(a, shift=0), sample.Sample.of_pages(b, shift=0)
    )
    assert estimate == sample.Estimate(len(exact(a) & exact(b)), 0.0)


@given(st.lists(page_lists, max_size=5))
def test_with_shift_0_the_union_is_exact_for_any_number_of_guests(lists):
    samples = [sample.Sample.of_pages(ids, shift=0) for ids in lists]
    union = set().union(*map(exact, lists)) if lists else set()
    assert union_pages(samples) == sample.Estimate(len(union), 0.0)


@given(page_lists, shifts, st.integers(0, 6), st.booleans())
def test_thinning_gives_what_the_coarser_shift_would_have_taken(
    ids, shift, more, sealed
):
    fine = sample.Sample.of_pages(ids, shift=shift)
    coarse = sample.Sample.of_pages(ids, shift=shift + more)
    if sealed:
        fine, coarse = fine.sealed(KEY), coarse.sealed(KEY)
    assert fine.thinned(shift + more).items.tolist() == coarse.items.tolist()


@given(page_lists, page_lists, shifts, shifts)
def test_sealing_and_different_shifts_leave_the_estimate_as_it_is(a, b, first, second):
    bare = (
        sample.Sample.of_pages(a, shift=first),
        sample.Sample.of_pages(b, shift=second),
    )
    sealed = [value.sealed(KEY) for value in bare]
    assert shared_pages(*sealed) == shared_pages(*bare)


def test_a_finer_shift_than_taken_is_refused():
    with pytest.raises(exceptions.FingerprintError, match="cannot be thinned to 5"):
        sample.Sample.of_pages(np.array([1], np.uint64), shift=6).thinned(5)


@pytest.mark.parametrize("shift", [-1, 64])
def test_a_shift_out_of_range_is_refused(shift):
    with pytest.raises(exceptions.FingerprintError, match="outside 0 to 63"):
        sample.Sample.of_pages(np.array([1], np.uint64), shift=shift)


def test_different_keys_never_compare():
    a = sample.Sample.of_pages(np.array([1, 2], np.uint64), shift=0)
    other = seal.SealKey(bytes(32))
    for x, y in ((a, a.sealed(KEY)), (a.sealed(other), a.sealed(KEY))):
        with pytest.raises(exceptions.IncompatibleFingerprintsError, match="in key"):
            shared_pages(x, y)


def test_different_seeds_never_compare():
    a = sample.Sample.of_pages(np.array([1], np.uint64), shift=0)
    b = sample.Sample.of_pages(np.array([1], np.uint64), shift=0, seed=1)
    with pytest.raises(exceptions.IncompatibleFingerprintsError, match="in seed"):
        union_pages([a, b])


def test_only_items_that_held_still_count_in_the_model():
    def taken(*ids):
        return sample.Sample.of_pages(np.array(ids, np.uint64), shift=0)

    a = taken(1, 2, 3, 4).with_stability(taken(2, 3, 9)).sealed(KEY)
    b = taken(3, 4, 5).sealed(KEY)
    assert shared_pages(a, b).pages == 1  # 3; 4 is new in a


def test_a_coarser_scan_before_says_nothing_of_stability():
    ids = np.array([1, 2**60], np.uint64)
    coarse = sample.Sample.of_pages(ids, shift=6)
    assert sample.Sample.of_pages(ids, shift=0).with_stability(coarse).stable is None


def test_an_agent_chooses_the_finest_shift_that_keeps_a_sample_small():
    rng = np.random.default_rng(1)
    unique = np.unique(rng.integers(0, 2**64 - 1, 2**20, np.uint64) >> np.uint64(5))
    taken = sample.Sample.of_unique(
        unique, sample.Counters(resident_pages=2**21, unique_pages=2**20, zero_pages=0)
    )
    assert taken.shift == 10
    assert len(taken.items) <= sample.MAX_ITEMS < np.sum(unique < 2 ** (64 - 9))


@pytest.mark.parametrize("shift", [3, 6])
def test_the_standard_error_brackets_the_truth(shift):
    rng = np.random.default_rng(shift)
    inside, errors = 0, []
    for _ in range(300):
        ids = rng.integers(0, 2**64 - 1, 30_000, np.uint64)
        a = sample.Sample.of_pages(ids[:20_000], shift=shift)
        b = sample.Sample.of_pages(ids[10_000:], shift=shift)
        estimate = shared_pages(a, b)
        errors.append(estimate.pages - 10_000)
        inside += abs(errors[-1]) <= 2 * estimate.standard_error
    assert 0.90 <= inside / 300 <= 0.99
    stated = (1 << shift) * np.sqrt(10_000 / (1 << shift) * (1 - 2.0**-shift))
    assert np.std(errors) == pytest.approx(stated, rel=0.15)
    assert abs(np.mean(errors)) < 3 * stated / np.sqrt(300)


@pytest.mark.parametrize(
    "counts",
    [(-1, 0, 0, 0), (10, 6, 5, 0), (10, -1, 0, 0), (10, 1, 2, 3), (10, 1, 2, -1)],
)
def test_counts_that_cannot_be_true_are_refused(counts):
    with pytest.raises(exceptions.FingerprintError, match="cannot be true"):
        sample.Counters(
            resident_pages=counts[0],
            unique_pages=counts[1],
            zero_pages=counts[2],
            kernel_zero_pages=counts[3],
        )


@given(page_lists, page_lists, page_lists)
def test_lists_count_what_guests_share_to_the_page(first, second, third):
    zero = page.zero_page_id()
    sets = [set(ids.tolist()) - {zero} for ids in (first, second, third)]
    lists = [sample.Sample.of_pages(ids, shift=0) for ids in (first, second, third)]
    shared = lists[0].shared_pages(lists[1])
    assert shared == sample.Estimate(len(sets[0] & sets[1]), 0.0)
    together = lists[0].union(lists[1]).union(lists[2])
    assert together.unique_pages == len(set.union(*sets))
    assert together.items.tolist() == sorted(set.union(*sets))
    assert together.counters.resident_pages == len(first) + len(second) + len(third)


@given(page_lists, page_lists, shifts, shifts)
def test_samples_of_different_shifts_compare_at_the_coarser(first, second, a, b):
    fine, coarse = sorted((a, b))
    mixed = [
        sample.Sample.of_pages(first, shift=fine),
        sample.Sample.of_pages(second, shift=coarse),
    ]
    alike = [sample.Sample.of_pages(ids, shift=coarse) for ids in (first, second)]
    assert mixed[0].shared_pages(mixed[1]) == alike[0].shared_pages(alike[1])
    assert mixed[0].union(mixed[1]).items.tolist() == (
        alike[0].union(alike[1]).items.tolist()
    )


def test_only_stable_items_are_shared():
    ids = np.arange(1, 101, dtype=np.uint64)
    before = sample.Sample.of_pages(ids[:60], shift=0)
    stable = sample.Sample.of_pages(ids, shift=0).with_stability(before)
    assert stable.shared_pages(sample.Sample.of_pages(ids, shift=0)).pages == 60


def test_two_fingerprints_say_which_of_format_seed_and_key_differs():
    ids = np.arange(1, 101, dtype=np.uint64)
    one = sample.Sample.of_pages(ids, shift=0)
    others = {
        "format": bloom.BloomFilter.of_list(one, 2**10, 2),
        "seed": sample.Sample.of_pages(ids, shift=0, seed=7),
        "key": one.sealed(KEY),
    }
    for attribute, other in others.items():
        for call in (one.union, one.shared_pages):
            with pytest.raises(
                exceptions.IncompatibleFingerprintsError, match=attribute
            ) as error:
                call(other)
            assert error.value.attribute == attribute
