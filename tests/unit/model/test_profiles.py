# SPDX-License-Identifier: Apache-2.0
"""What a new guest is expected to share, learned from guests of known pages."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from membuddies_nova.cluster import Guest, Host, Scope
from membuddies_nova.fingerprint.seal import SealKey
from membuddies_nova.model.best import BEST_HOSTS
from membuddies_nova.model.profiles import SETTLED_SECONDS, learn
from membuddies_nova.model.sharing import SharingModel
from tests.unit.model.clusters import snapshot_of_pages

HOSTS = tuple(Host(name=f"m{number}", memory_mb=65536) for number in range(3))
MB = 256


def guest(name, host, **facts):
    facts = {"project": "p1", "image": "i1", **facts}
    return Guest(uuid=name, name=name, memory_mb=1024, host=host, **facts)


def learned(pages, guests, scope=Scope.PROJECT, hosts=HOSTS):
    return learn(snapshot_of_pages(pages, hosts=hosts, guests=guests), scope)


def expected(profiles, key, profile):
    row = profiles.rows.index((key, profile))
    return profiles.expected_mb[row].toarray()[0].tolist()


def overlap(profiles, one, other):
    rows = profiles.rows
    return profiles.overlap_mb[rows.index(one), rows.index(other)]


def test_pages_that_most_guests_of_an_image_hold_are_expected_beside_them():
    consensus = range(300 * MB)
    pages = {
        name: [*consensus, *range(start * MB, (start + 100) * MB)]
        for name, start in (("a", 1000), ("b", 2000), ("c", 3000))
    }
    profiles = learned(pages, [guest("a", "m0"), guest("b", "m0"), guest("c", "m1")])
    # All three hold them: 3 / (3 + 1) of 300 MB; pages of one's own count nothing.
    assert expected(profiles, "project:p1", "image:i1") == [225.0, 225.0, 0.0]


def test_the_only_guest_of_an_image_vouches_for_half_of_its_pages():
    profiles = learned({"a": range(100 * MB)}, [guest("a", "m1")])
    assert expected(profiles, "project:p1", "image:i1") == [0.0, 50.0, 0.0]
    row = ("project:p1", "image:i1")
    assert overlap(profiles, row, row) == 50.0


def test_an_image_is_expected_to_share_with_guests_of_other_images():
    pages = {"a": range(100 * MB), "b": range(40 * MB)}
    profiles = learned(pages, [guest("a", "m0"), guest("b", "m1", image="i2")])
    assert expected(profiles, "project:p1", "image:i1") == [50.0, 20.0, 0.0]
    assert expected(profiles, "project:p1", "image:i2") == [20.0, 20.0, 0.0]


def test_an_image_without_guests_is_known_by_its_distribution_and_project():
    facts = {"os_distro": "debian", "flavor": "small"}
    pages = {"a": range(30 * MB), "b": range(30 * MB), "c": range(10 * MB)}
    profiles = learned(
        pages,
        [
            guest("a", "m0", **facts),
            guest("b", "m1", image="i2", **facts),
            guest("c", "m2", image="i3"),
        ],
    )
    assert expected(profiles, "project:p1", "os:debian/small") == pytest.approx(
        [20.0, 20.0, 20 / 3]
    )
    assert expected(profiles, "project:p1", "project:p1") == pytest.approx(
        [10 * 3 / 4 + 20 * 2 / 4] * 2 + [10 * 3 / 4]
    )


def test_releases_of_a_distribution_are_told_apart():
    facts = {"os_distro": "debian", "flavor": "small"}
    pages = {"a": range(30 * MB), "b": range(100 * MB, 110 * MB)}
    profiles = learned(
        pages,
        [
            guest("a", "m0", os_version="12", **facts),
            guest("b", "m1", image="i2", os_version="13", **facts),
        ],
    )
    assert expected(profiles, "project:p1", "os:debian 12/small") == [15.0, 0.0, 0.0]
    assert expected(profiles, "project:p1", "os:debian 13/small") == [0.0, 5.0, 0.0]
    # Whose release is not known is compared with all of them.
    assert ("project:p1", "project:p1") in profiles.rows


def test_guests_of_a_snapshot_tell_of_its_base_only_where_it_has_no_guest():
    pages = {"a": range(30 * MB), "b": range(40 * MB), "c": range(40 * MB)}
    snapshots = [
        guest("b", "m1", image="snap", base_image="i1"),
        guest("c", "m2", image="snap", base_image="i1"),
    ]
    with_own = learned(pages, [guest("a", "m0"), *snapshots])
    assert expected(with_own, "project:p1", "image:i1") == [15.0, 15.0, 15.0]
    without = learned({name: pages[name] for name in "bc"}, snapshots)
    assert expected(without, "project:p1", "image:i1") == pytest.approx(
        [0.0, 80 / 3, 80 / 3]
    )


def test_nothing_is_learned_across_the_border_of_a_trust_scope():
    pages = {"a": range(30 * MB), "b": range(30 * MB)}
    guests = [guest("a", "m0"), guest("b", "m1", project="p2")]
    profiles = learned(pages, guests)
    assert expected(profiles, "project:p1", "image:i1") == [15.0, 0.0, 0.0]
    assert expected(profiles, "project:p2", "image:i1") == [0.0, 15.0, 0.0]
    everywhere = learned(pages, guests, Scope.GLOBAL)
    assert expected(everywhere, "global", "image:i1") == [20.0, 20.0, 0.0]


def test_two_new_guests_share_what_both_profiles_expect():
    pages = {"a": range(40 * MB), "b": range(40 * MB), "c": range(20 * MB, 60 * MB)}
    profiles = learned(
        pages,
        [guest("a", "m0"), guest("b", "m1"), guest("c", "m2", image="i2")],
    )
    one, other = ("project:p1", "image:i1"), ("project:p1", "image:i2")
    assert overlap(profiles, one, one) == pytest.approx(40 * 2 / 3)
    assert overlap(profiles, one, other) == pytest.approx(20 * (2 / 3 * 1 / 2) ** 0.5)
    assert overlap(profiles, other, other) == 20.0


def test_a_guests_own_host_is_counted_without_the_guest():
    pages = {"a": range(40 * MB), "b": range(30 * MB), "c": range(10 * MB)}
    profiles = learned(pages, [guest("a", "m0"), guest("b", "m1"), guest("c", "m0")])
    assert profiles.own_mb.toarray().tolist() == [
        [10.0, 30.0, 0.0],
        [30.0, 10.0 - 10.0, 0.0],
        [10.0, 10.0, 0.0],
    ]


def test_the_best_hosts_of_a_guest_are_kept():
    hosts = tuple(Host(name=f"m{n}", memory_mb=1) for n in range(BEST_HOSTS + 3))
    pages = {f"g{n}": range((n + 1) * MB) for n in range(len(hosts))}
    guests = [guest(f"g{n}", f"m{n}") for n in range(len(hosts))]
    own = learned(pages, guests, hosts=hosts).own_mb.toarray()
    largest = own[-1]
    assert np.flatnonzero(largest).tolist() == list(range(2, len(hosts) - 1))


def test_a_guest_without_a_fingerprint_teaches_nothing():
    snapshot = snapshot_of_pages(
        {"a": range(MB)}, hosts=HOSTS, guests=[guest("a", "m0"), guest("b", "m1")]
    )
    profiles = learn(snapshot, Scope.PROJECT)
    assert expected(profiles, "project:p1", "image:i1") == [0.5, 0.0, 0.0]
    assert profiles.own_mb.shape == (2, 3)


def test_a_guest_that_is_nowhere_teaches_its_pages_but_holds_no_host():
    profiles = learned({"a": range(2 * MB)}, [guest("a", None)])
    assert expected(profiles, "project:p1", "image:i1") == [0.0, 0.0, 0.0]


def test_a_guest_that_is_shut_off_teaches_its_pages_but_holds_no_host():
    pages = {"a": range(2 * MB), "b": range(MB)}
    off = guest("a", "m0", power_state=4)
    profiles = learned(pages, [off, guest("b", "m1", image="i2")])
    assert expected(profiles, "project:p1", "image:i1") == [0.0, 0.5, 0.0]
    assert profiles.own_mb.toarray().tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("age", [None, SETTLED_SECONDS, 20.0])
@pytest.mark.parametrize(
    "young", [{"age_seconds": 9.0}, {"age_seconds": None, "status": "BUILD"}]
)
def test_a_guest_that_still_boots_does_not_spoil_its_image(age, young):
    pages = {"a": range(100 * MB), "b": range(MB)}
    booted = guest("a", "m1", age_seconds=age)
    alone = learned(pages, [booted])
    beside = learned(pages, [booted, guest("b", "m2", **young)])
    row = ("project:p1", "image:i1")
    assert expected(alone, *row) == [0.0, 50.0, 0.0]
    assert expected(beside, *row)[:2] == [0.0, 50.0]
    assert overlap(beside, row, row) == overlap(alone, row, row)


def test_guests_that_boot_together_teach_together():
    pages = {"a": range(100 * MB), "b": range(100 * MB)}
    guests = [guest(name, "m0", age_seconds=9.0) for name in ("a", "b")]
    profiles = learned(pages, guests)
    assert expected(profiles, "project:p1", "image:i1")[0] == pytest.approx(200 / 3)


def test_the_key_that_most_guests_have_counts():
    snapshot = snapshot_of_pages(
        dict.fromkeys("abc", range(MB)),
        hosts=HOSTS,
        guests=[guest("a", "m0"), guest("b", "m1"), guest("c", "m2")],
    )
    old, new = SealKey(bytes(32)), SealKey(bytes([1] * 32))
    keys = {"a": old, "b": new, "c": new}
    samples = {name: snapshot.samples[name].sealed(keys[name]) for name in keys}
    profiles = learn(dataclasses.replace(snapshot, samples=samples), Scope.PROJECT)
    assert expected(profiles, "project:p1", "image:i1") == pytest.approx(
        [0.0, 2 / 3, 2 / 3]
    )


@pytest.mark.parametrize("hosts", [(), HOSTS])
def test_an_empty_cloud_has_no_profiles(hosts):
    profiles = learned({}, [], hosts=hosts)
    assert profiles.rows == ()
    assert profiles.expected_mb.shape == (0, len(hosts))


_clusters = st.lists(
    st.tuples(
        st.sampled_from(["m0", "m1", "m2"]),
        st.sampled_from(["i1", "i2"]),
        st.sampled_from(["p1", "p2"]),
        st.sets(st.integers(0, 40), max_size=30),
    ),
    min_size=1,
    max_size=7,
)


@settings(max_examples=60, deadline=None)
@given(_clusters)
def test_rows_are_the_consensus_counted_page_by_page(cluster):
    guests = [
        guest(str(number), host, image=image, project=project)
        for number, (host, image, project, _) in enumerate(cluster)
    ]
    pages = {str(number): held for number, (*_, held) in enumerate(cluster)}
    profiles = learned(pages, guests)
    for (key, profile), row in zip(
        profiles.rows, profiles.expected_mb.toarray(), strict=True
    ):
        within = [g for g in guests if g.scope_key(Scope.PROJECT) == key]
        kind, _, name = profile.partition(":")
        members = [g for g in within if getattr(g, kind) == name]
        for host, found in zip(HOSTS, row, strict=True):
            there = set().union(*(pages[g.uuid] for g in within if g.host == host.name))
            truth = 0.0
            for item in there:
                held = sum(item in pages[g.uuid] for g in members)
                if held > len(members) / 2:
                    truth += held / (len(members) + 1)
            assert found == pytest.approx(truth / MB)


@settings(max_examples=60, deadline=None)
@given(_clusters)
def test_a_guests_own_sharing_is_the_models_gain(cluster):
    guests = [
        guest(str(number), host, image=image, project=project)
        for number, (host, image, project, _) in enumerate(cluster)
    ]
    pages = {str(number): held for number, (*_, held) in enumerate(cluster)}
    snapshot = snapshot_of_pages(pages, hosts=HOSTS, guests=guests)
    own = learn(snapshot, Scope.PROJECT).own_mb.toarray()
    model = SharingModel(snapshot, Scope.PROJECT)
    for row, each in enumerate(guests):
        for column, host in enumerate(HOSTS):
            others = [g.uuid for g in snapshot.guests_on(host.name)]
            assert own[row, column] * MB == pytest.approx(
                model.gain(each.uuid, others).pages
            )
