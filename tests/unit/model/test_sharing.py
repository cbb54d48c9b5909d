# SPDX-License-Identifier: Apache-2.0
"""The sharing model against plain set algebra."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from membuddies_nova import exceptions
from membuddies_nova.cluster import Guest, Scope
from membuddies_nova.fingerprint.sample import Sample
from membuddies_nova.fingerprint.seal import SealKey
from membuddies_nova.model.sharing import SharingModel
from tests.unit.model.clusters import page_ids, sample_of, snapshot_of_pages

PAGE_SETS = st.dictionaries(
    st.sampled_from("abcdef"),
    st.frozensets(st.integers(0, 40), max_size=30),
    min_size=1,
)


@given(PAGE_SETS, st.data())
def test_a_gain_is_the_intersection_with_the_union_of_the_others(pages, data):
    model = SharingModel(snapshot_of_pages(pages))
    guest = data.draw(st.sampled_from(sorted(pages)))
    others = data.draw(st.sets(st.sampled_from(sorted(pages))))
    union = frozenset().union(*(pages[other] for other in others - {guest}))
    assert model.gain(guest, others).pages == len(pages[guest] & union)
    assert model.gain(guest, others).standard_error == 0


@given(PAGE_SETS, st.data())
def test_a_hosts_pages_are_the_union_of_its_guests(pages, data):
    model = SharingModel(snapshot_of_pages(pages))
    guests = data.draw(st.lists(st.sampled_from(sorted(pages)), unique=True))
    union = frozenset().union(*(pages[guest] for guest in guests))
    assert model.host_pages(guests).pages == len(union)
    assert model.saved_pages(guests).pages == sum(
        len(pages[guest]) for guest in guests
    ) - len(union)


@given(PAGE_SETS)
def test_two_guests_share_their_intersection_and_kin_come_nearest_first(pages):
    model = SharingModel(snapshot_of_pages(pages))
    matrix = model.shared_matrix()
    for a in pages:
        assert [matrix[model.row(a), model.row(b)] for b in pages if b != a] == [
            len(pages[a] & pages[b]) for b in pages if b != a
        ]
        shares = {b: len(pages[a] & pages[b]) for b in pages if b != a}
        kin = model.kin(a, 3)
        nearest = sorted((share for share in shares.values() if share), reverse=True)
        assert [estimate.pages for _, estimate in kin] == nearest[:3]
        assert all(estimate.pages == shares[b] for b, estimate in kin)


@given(PAGE_SETS, st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("xy")))
def test_sharing_across_projects_counts_as_nothing_unless_the_scope_is_global(
    pages, projects
):
    guests = [
        Guest(uuid=name, name=name, memory_mb=1, project=projects.get(name))
        for name in pages
    ]
    snapshot = snapshot_of_pages(pages, guests=guests)
    everybody = sorted(pages)
    by_project = {
        frozenset((projects.get(name), number) for number in pages[name])
        for name in pages
    }
    assert SharingModel(snapshot, Scope.PROJECT).host_pages(everybody).pages == len(
        frozenset().union(*by_project)
    )
    assert SharingModel(snapshot, Scope.GLOBAL).host_pages(everybody).pages == len(
        frozenset().union(*pages.values())
    )


def test_a_trust_group_shares_across_its_projects():
    guests = [
        Guest(uuid="a", name="a", memory_mb=1, project="x", trust_group="t"),
        Guest(uuid="b", name="b", memory_mb=1, project="y", trust_group="t"),
        Guest(uuid="c", name="c", memory_mb=1, project="x"),
    ]
    snapshot = snapshot_of_pages({name: range(9) for name in "abc"}, guests=guests)
    model = SharingModel(snapshot, Scope.GROUP)
    assert model.shared_pages("a", "b").pages == 9
    assert model.shared_pages("a", "c").pages == 0


def test_the_error_of_a_sample_brackets_the_truth():
    """Of 40 estimates, 68 % are expected within one standard error."""
    within = [0, 0]
    for case in range(40):
        base = case * 1_000_000
        pages = {
            "a": range(base, base + 6000),
            "b": range(base + 3000, base + 9000),
            "c": range(base + 1000, base + 5000),
        }
        truth = SharingModel(snapshot_of_pages(pages))
        model = SharingModel(snapshot_of_pages(pages, shift=4))
        for sigma in (1, 2):
            estimate = model.saved_pages("abc")
            error = abs(estimate.pages - truth.saved_pages("abc").pages)
            within[sigma - 1] += error <= sigma * estimate.standard_error
    assert 20 <= within[0] <= 34
    assert within[1] >= 36


def test_different_shifts_compare_at_the_coarser():
    pages = {"a": range(20_000), "b": range(10_000, 30_000)}
    snapshot = snapshot_of_pages(pages)
    coarse = dataclasses.replace(
        snapshot, samples={**snapshot.samples, "b": sample_of(pages["b"], shift=5)}
    )
    model = SharingModel(coarse)
    shared = model.shared_pages("a", "b")
    assert model.shift == 5
    assert abs(shared.pages - 10_000) < 3 * shared.standard_error
    assert shared.pages % 32 == 0


def test_only_stable_items_count_as_shared():
    first = sample_of(range(100))
    later = sample_of(range(50, 150)).with_stability(first)
    snapshot = snapshot_of_pages({"a": range(50, 150), "b": range(50, 150)})
    snapshot = dataclasses.replace(
        snapshot, samples={"a": later, "b": snapshot.samples["b"]}
    )
    model = SharingModel(snapshot)
    assert model.shared_pages("a", "b").pages == 50
    assert model.host_pages(["a", "b"]).pages == 150


def test_a_guest_without_a_fingerprint_counts_whole_and_shares_nothing():
    guests = [Guest(uuid=name, name=name, memory_mb=2) for name in "ab"]
    snapshot = snapshot_of_pages({"a": range(10)}, guests=guests)
    model = SharingModel(snapshot)
    assert model.unique_pages("b") == 512
    assert model.shared_pages("a", "b").pages == 0
    assert model.host_pages(["a", "b"]).pages == 522


def test_zero_self_and_inter_sharing_stand_apart():
    zero = np.zeros(1, np.uint64)
    ids = page_ids(np.array([1, 1, 1, 2, 3], np.uint64))
    samples = {
        "a": Sample.of_pages(np.concatenate((ids, zero, zero)), shift=0, zero_id=0),
        "b": Sample.of_pages(ids[2:], shift=0, zero_id=0),
    }
    snapshot = dataclasses.replace(
        snapshot_of_pages({"a": (), "b": ()}), samples=samples
    )
    breakdown = SharingModel(snapshot).breakdown(["a", "b"])
    assert breakdown.resident_pages == 10
    assert breakdown.zero_pages == 2
    assert breakdown.self_shared_pages == 2
    assert breakdown.unique_pages == 6
    assert breakdown.inter_shared.pages == 3


def test_fingerprints_of_two_keys_are_refused_or_share_nothing():
    snapshot = snapshot_of_pages({"a": range(9), "b": range(9), "c": range(9)})
    keys = [SealKey(bytes([number]) * 32) for number in (1, 2, 2)]
    sealed = {
        name: sample.sealed(key)
        for (name, sample), key in zip(snapshot.samples.items(), keys, strict=True)
    }
    snapshot = dataclasses.replace(snapshot, samples=sealed)
    with pytest.raises(exceptions.IncompatibleFingerprintsError, match="key"):
        SharingModel(snapshot)
    model = SharingModel(snapshot, across_keys=True)
    assert model.shared_pages("a", "b").pages == 0
    assert model.shared_pages("b", "c").pages == 9
