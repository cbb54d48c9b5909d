# SPDX-License-Identifier: Apache-2.0
"""Verdicts, first placements, consolidation, budgets: plan() from outside."""

import dataclasses

import pytest

from membuddies_nova import exceptions
from membuddies_nova.cluster import Guest, Host
from membuddies_nova.fingerprint.seal import SealKey
from membuddies_nova.plan import Goal, Verdict
from membuddies_nova.planner import Limits, plan
from tests.unit.model.clusters import snapshot_of_pages
from tests.unit.planner.published import published_snapshot

BASE = range(256)


def cluster(positions, pages=None, hosts=("m0", "m1", "m2"), memory_mb=16):
    return snapshot_of_pages(
        pages if pages is not None else dict.fromkeys(positions, BASE),
        hosts=[Host(name=name, memory_mb=memory_mb) for name in hosts],
        guests=[
            Guest(uuid=name, name=name, memory_mb=1, host=host)
            for name, host in positions.items()
        ],
    )


@pytest.mark.parametrize("goal", Goal)
@pytest.mark.parametrize("hosts", [(), ("m0",)])
def test_an_empty_cluster_stays(goal, hosts):
    planned = plan(cluster({}, hosts=hosts), goal=goal)
    assert planned.verdict is Verdict.STAY
    assert planned.why


def test_a_guest_without_any_host_to_go_to_is_named():
    planned = plan(cluster({"a": None}, hosts=()))
    assert [(guest.guest) for guest in planned.unplaced] == ["a"]


def test_new_guests_go_to_their_kin_before_anything_moves():
    pages = {"web": BASE, "db": range(500, 756), "web2": BASE, "db2": range(500, 756)}
    planned = plan(cluster({"web": "m0", "db": "m1", "web2": None, "db2": None}, pages))
    assert [(m.guest, m.source, m.destination) for m in planned.moves] == [
        ("web2", None, "m0"),
        ("db2", None, "m1"),
    ]
    assert [m.copy_mb for m in planned.moves] == [0, 0]
    assert (planned.before_mb, planned.after_mb, planned.saved_mb) == (2, 2, 2)


def test_a_guest_larger_than_every_host_stays_unplaced_with_its_reason():
    snapshot = cluster({"a": "m0"})
    giant = Guest(uuid="giant", name="giant", memory_mb=4096)
    snapshot = dataclasses.replace(snapshot, guests=(*snapshot.guests, giant))
    planned = plan(snapshot)
    assert planned.unplaced[0].guest == "giant"
    assert "placement-memory" in planned.unplaced[0].reason


@pytest.mark.parametrize("strategy", ["union", "original"])
def test_while_two_keys_are_in_use_everything_stays(strategy):
    snapshot = cluster({"a": "m0", "b": "m1", "c": "m1"})
    keys = {"a": SealKey(bytes(32)), "b": SealKey(b"1" * 32), "c": SealKey(bytes(32))}
    snapshot = dataclasses.replace(
        snapshot,
        samples={name: s.sealed(keys[name]) for name, s in snapshot.samples.items()},
    )
    planned = plan(snapshot, strategy=strategy)
    assert planned.verdict is Verdict.STAY
    assert planned.moves == ()
    assert "fingerprints differ in key" in planned.why
    assert f"{keys['a'].key_id.hex()}: 2 guests on m0, m1" in planned.why
    assert f"{keys['b'].key_id.hex()}: 1 guest on m1" in planned.why
    assert planned.before["m1"].pages == 512


def test_an_overfull_host_is_said_and_coped_with():
    snapshot = cluster({"a": "m0", "b": "m1"}, {"a": BASE, "b": range(500, 756)})
    tiny = dataclasses.replace(snapshot.hosts[0], reserved_mb=16)
    planned = plan(dataclasses.replace(snapshot, hosts=(tiny, *snapshot.hosts[1:])))
    assert planned.verdict is Verdict.STAY
    assert "m0 would still hold more than the memory there is" in planned.why


def test_guests_without_a_fingerprint_are_counted_in_the_reason():
    planned = plan(cluster({"a": "m0", "b": "m1"}, {"a": BASE}))
    assert "1 guest has no fingerprint" in planned.why


def test_consolidation_frees_the_hosts_that_hold_least():
    pages = {"a": range(64), "b": BASE, "c": BASE}
    planned = plan(
        cluster({"a": "m0", "b": "m1", "c": "m2"}, pages), goal=Goal.CONSOLIDATE
    )
    assert planned.hosts_freed == ("m0", "m2")
    assert {move.destination for move in planned.moves} == {"m1"}
    assert "disable m0, m2" in planned.why


def test_consolidation_leaves_a_host_that_it_cannot_empty_whole():
    snapshot = cluster({"a": "m0", "pinned": "m0", "b": "m1"}, hosts=("m0", "m1"))
    snapshot = dataclasses.replace(
        snapshot,
        guests=tuple(
            dataclasses.replace(guest, movable=guest.uuid == "a")
            for guest in snapshot.guests
        ),
    )
    planned = plan(snapshot, goal=Goal.CONSOLIDATE)
    assert planned.moves == ()
    assert "m0 cannot be emptied: pinned has to stay, opted-out" in planned.why


def test_a_spent_budget_ends_the_search_with_what_it_has():
    snapshot = published_snapshot()
    first_look = len(snapshot.guests) * len(snapshot.hosts)
    planned = plan(snapshot, evaluations=first_look + 1)
    assert len(planned.moves) == 1
    assert "the work budget is spent" in planned.why


@pytest.mark.parametrize(
    "arguments",
    [
        {"strategy": "random"},
        {"goal": Goal.RELIEVE, "strategy": "original"},
        {"goal": Goal.CONSOLIDATE, "strategy": "original"},
    ],
)
def test_what_is_not_available_is_refused_in_one_sentence(arguments):
    with pytest.raises(exceptions.InputError):
        plan(cluster({"a": "m0"}), **arguments)


def test_fewer_moves_than_all_are_made_on_request():
    assert len(plan(published_snapshot(), limits=Limits(max_moves=0)).moves) == 0


def test_full_hosts_exchange_guests_through_a_third_one():
    other = range(500, 756)
    pages = {"red1": BASE, "blue1": other, "red2": BASE, "blue2": other}
    snapshot = cluster(
        {"red1": "m0", "blue1": "m0", "red2": "m1", "blue2": "m1"}, pages, memory_mb=2
    )
    third = dataclasses.replace(snapshot.hosts[2], memory_mb=1)
    planned = plan(dataclasses.replace(snapshot, hosts=(*snapshot.hosts[:2], third)))
    assert planned.saved_mb == 2
    assert [move.wave for move in planned.moves] == [1, 2, 3]
    first, between, last = planned.moves
    assert (first.destination, last.source) == ("m2", "m2")
    assert first.guest == last.guest != between.guest
    assert "waits there" in first.reason
