# SPDX-License-Identifier: Apache-2.0
"""An occupancy after any moves agrees with the model asked afresh."""

from hypothesis import given
from hypothesis import strategies as st

from membuddies_nova.cluster import Host, KsmState
from membuddies_nova.model.occupancy import Occupancy
from membuddies_nova.model.sharing import SharingModel
from tests.unit.model.clusters import snapshot_of_pages

HOSTS = ("m0", "m1", "m2")
ON = [Host(name=name, memory_mb=1) for name in HOSTS]
PAGE_SETS = st.dictionaries(
    st.sampled_from("abcdef"),
    st.frozensets(st.integers(0, 40), max_size=30),
    min_size=1,
)


@given(PAGE_SETS, st.data())
def test_after_any_moves_gains_and_pages_are_those_of_the_sets(pages, data):
    model = SharingModel(snapshot_of_pages(pages))
    positions = {
        guest: data.draw(st.sampled_from((None, *HOSTS))) for guest in sorted(pages)
    }
    occupancy = Occupancy(model, ON, positions)
    moves = data.draw(
        st.lists(st.tuples(st.sampled_from(sorted(pages)), st.sampled_from(HOSTS)))
    )
    for guest, host in moves:
        occupancy.move(guest, host)
        positions[guest] = host

    def union(host, without):
        return frozenset().union(
            *(pages[g] for g, at in positions.items() if at == host and g != without)
        )

    for host in HOSTS:
        assert occupancy.pages(host) == len(union(host, None))
        assert set(occupancy.guests_on(host)) == {
            guest for guest, at in positions.items() if at == host
        }
        held = model.classes.held_of(occupancy.classes_on(host))
        for guest, at in positions.items():
            if at != host:
                assert held[model.row(guest)] == len(pages[guest] & union(host, None))
    for guest, source in positions.items():
        assert occupancy.host_of(guest) == source
        lost = 0 if source is None else len(pages[guest] & union(source, guest))
        if source is not None:
            assert occupancy.shared_pages(guest, source) == lost
        for host in set(HOSTS) - {source}:
            won = len(pages[guest] & union(host, guest))
            assert occupancy.shared_pages(guest, host) == won
            assert occupancy.net_gain(guest, host).pages == won - lost


@given(PAGE_SETS, st.data())
def test_a_gain_after_others_would_have_moved_is_the_one_after_they_did(pages, data):
    model = SharingModel(snapshot_of_pages(pages))
    guest, *others = sorted(pages)
    positions = {name: data.draw(st.sampled_from((None, *HOSTS))) for name in pages}
    places = {
        other: data.draw(st.sampled_from(HOSTS))
        for other in others
        if data.draw(st.booleans())
    }
    occupancy = Occupancy(model, ON, positions)
    before = {host: occupancy.net_gain(guest, host) for host in HOSTS}
    asked = {host: occupancy.net_gain(guest, host, places) for host in HOSTS}
    assert {host: occupancy.net_gain(guest, host) for host in HOSTS} == before
    for other, host in places.items():
        occupancy.move(other, host)
    assert {host: occupancy.net_gain(guest, host) for host in HOSTS} == asked


def test_what_a_guest_shares_at_both_hosts_adds_no_error():
    common = range(4096)
    pages = {"a": common, "b": common, "c": [*common, *range(9000, 9640)]}
    pages["a"] = [*common, *range(9000, 9640)]
    model = SharingModel(snapshot_of_pages(pages, shift=3))
    occupancy = Occupancy(model, ON, {"a": "m0", "b": "m0", "c": "m1"})
    net = occupancy.net_gain("a", "m1")
    assert net.pages == model.gain("a", "c").pages - model.gain("a", "b").pages
    assert 0 < net.standard_error < model.gain("a", "c").standard_error / 2


def test_a_copy_goes_its_own_way():
    model = SharingModel(snapshot_of_pages({"a": range(9), "b": range(9)}))
    occupancy = Occupancy(model, ON, {"a": "m0", "b": "m1"})
    copy = occupancy.copy()
    copy.move("a", "m1")
    assert (copy.pages("m0"), copy.pages("m1")) == (0, 9)
    assert (occupancy.pages("m0"), occupancy.pages("m1")) == (9, 9)
    assert occupancy.host_of("a") == "m0"
    assert occupancy.guests_on("m1") == ("b",)


def test_a_host_counts_sharing_as_far_as_its_ksm_merges_it():
    pages = {"a": range(100), "b": range(100), "c": range(100)}
    model = SharingModel(snapshot_of_pages(pages))
    hosts = [
        Host(name="whole", memory_mb=1),
        Host(name="nodes", memory_mb=1, numa_nodes=2),
        Host(name="off", memory_mb=1, ksm=KsmState.OFF),
    ]
    places = {"a": "whole", "b": "nodes", "c": "off"}
    occupancy = Occupancy(model, hosts, places)
    assert occupancy.net_gain("a", "nodes").pages == 50
    assert occupancy.net_gain("a", "off").pages == 0
    shared = [occupancy.shared_pages(guest, "nodes") for guest in "abc"]
    assert shared == [50, 0, 50]
    occupancy.move("a", "nodes")
    assert occupancy.pages("nodes") == 150
    assert occupancy.net_gain("a", "whole").pages == -50
    occupancy.move("b", "off")
    assert occupancy.pages("off") == 200
    assert occupancy.pages("nodes") == 100
