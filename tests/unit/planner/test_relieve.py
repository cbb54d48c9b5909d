# SPDX-License-Identifier: Apache-2.0
"""Hosts under memory pressure get relief by the cheapest moves that end it."""

import dataclasses

import pytest
from hypothesis import example, given, settings

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.plan import Goal, Verdict
from membuddies_nova.planner import Limits, plan
from tests.unit.model.clusters import snapshot_of_pages
from tests.unit.planner.cases import CLOUDS, random_cloud
from tests.unit.planner.checker import problems

MB = 256


def cluster(hosts, guests):
    """Hosts by facts; guests as (host, size in MB, first page, pages)."""
    return snapshot_of_pages(
        {name: range(first, first + count) for name, (_, _, first, count) in
         guests.items()},
        hosts=[Host(name=name, **facts) for name, facts in hosts.items()],
        guests=[
            Guest(uuid=name, name=name, memory_mb=size, host=host)
            for name, (host, size, _, _) in guests.items()
        ],
    )  # fmt: skip


def relief(snapshot, **limits):
    planned = plan(snapshot, goal=Goal.RELIEVE, limits=Limits(**limits))
    assert problems(snapshot, planned, Limits(**limits)) == []
    return planned


def moved(planned):
    return [(move.guest, move.source, move.destination) for move in planned.moves]


PRESSED = {
    "hot": {"memory_mb": 16, "pressure": 0.4},
    "cool": {"memory_mb": 16, "pressure": 0.0},
}


def test_without_pressure_everything_stays_and_is_told_why():
    planned = relief(cluster({"m0": {"memory_mb": 8}}, {"a": ("m0", 2, 0, MB)}))
    assert planned.verdict is Verdict.STAY
    assert "no host has a memory pressure of 0.1 or more" in planned.why


def test_the_guest_that_copies_least_of_those_that_are_enough_leaves():
    guests = {
        "tiny": ("hot", 4, 0, MB),
        "small": ("hot", 4, 10_000, 2 * MB),
        "large": ("hot", 8, 20_000, 7 * MB),
        "other": ("cool", 4, 30_000, MB),
    }
    planned = relief(cluster(PRESSED, guests))
    assert moved(planned) == [("small", "hot", "cool")]
    assert "hot has a memory pressure of 0.40" in planned.why
    assert "8 MB held there instead of 10 MB" in planned.why


def test_several_small_guests_leave_where_they_copy_less_than_a_large_one():
    guests = {
        "one": ("hot", 2, 0, MB),
        "two": ("hot", 2, 10_000, MB),
        "large": ("hot", 8, 20_000, 7 * MB),
    }
    planned = relief(cluster(PRESSED, guests), moves_per_host=2)
    assert moved(planned) == [("one", "hot", "cool"), ("two", "hot", "cool")]


def test_guests_that_only_share_with_each_other_free_nothing_one_by_one():
    """Each of the kin alone frees no page; the pair does, and so it leaves."""
    guests = {
        "kin1": ("hot", 3, 0, 3 * MB),
        "kin2": ("hot", 3, 0, 3 * MB),
        "large": ("hot", 9, 20_000, 9 * MB),
    }
    planned = relief(cluster(PRESSED, guests))
    assert {guest for guest, _, _ in moved(planned)} == {"kin1", "kin2"}


def test_the_published_hotspot_is_a_swap_where_no_host_has_room():
    """A guest has outgrown its host; the other host would have to give one up."""
    hosts = {
        "hot": {"memory_mb": 6, "ram_allocation_ratio": 1.5, "pressure": 0.5},
        "cool": {"memory_mb": 6},
        "spare": {"memory_mb": 2},
    }
    guests = {
        "grown": ("hot", 5, 0, 5 * MB),
        "stays": ("hot", 2, 5 * MB, MB),
        "idle": ("cool", 2, 10_000, MB),
        "kin": ("cool", 1, 0, MB),
    }
    snapshot = cluster(hosts, guests)
    kept = ("stays", "kin")
    snapshot = dataclasses.replace(
        snapshot,
        guests=tuple(
            dataclasses.replace(guest, locked=guest.uuid in kept)
            for guest in snapshot.guests
        ),
    )
    planned = relief(snapshot, max_moves=3)
    assert ("grown", "hot", "cool") in moved(planned)
    homes = {uuid: host for host, use in planned.after.items() for uuid in use.guests}
    assert homes["idle"] == "hot"
    assert planned.after["hot"].mb <= 6 - 0.6
    assert planned.after["cool"].mb <= 6


def test_a_move_that_only_shifts_the_pressure_is_not_made():
    """The other host would be as full as the one in need."""
    hosts = {"hot": {"memory_mb": 16, "pressure": 0.4}, "cool": {"memory_mb": 16}}
    guests = {
        "a": ("hot", 4, 0, 4 * MB),
        "b": ("hot", 4, 10_000, 4 * MB),
        "c": ("cool", 4, 20_000, 4 * MB),
        "d": ("cool", 4, 30_000, 3 * MB),
    }
    planned = relief(cluster(hosts, guests))
    assert planned.verdict is Verdict.STAY
    assert "no allowed move would end it" in planned.why


def test_no_guest_goes_to_another_host_in_need():
    hosts = {"m0": {"memory_mb": 16, "pressure": 0.4},
             "m1": {"memory_mb": 16, "pressure": 0.2}}  # fmt: skip
    guests = {"a": ("m0", 4, 0, 4 * MB), "b": ("m0", 4, 9000, 4 * MB),
              "c": ("m1", 1, 20_000, MB)}  # fmt: skip
    assert relief(cluster(hosts, guests)).verdict is Verdict.STAY


def test_a_host_that_holds_more_than_its_memory_needs_relief_without_any_report():
    hosts = {"m0": {"memory_mb": 4, "ram_allocation_ratio": 2.0},
             "m1": {"memory_mb": 8}}  # fmt: skip
    guests = {"a": ("m0", 3, 0, 3 * MB), "b": ("m0", 2, 9000, 2 * MB)}
    planned = relief(cluster(hosts, guests))
    assert moved(planned) == [("b", "m0", "m1")]
    assert "m0 holds more than its memory of 4 MB" in planned.why


@pytest.mark.parametrize("fact", ["movable", "locked"])
def test_guests_that_must_stay_are_no_relief(fact):
    guests = {"a": ("hot", 4, 0, 4 * MB), "b": ("hot", 4, 9000, 4 * MB)}
    snapshot = cluster(PRESSED, guests)
    still = dataclasses.replace(snapshot.guests[0], **{fact: fact == "locked"})
    snapshot = dataclasses.replace(snapshot, guests=(still, snapshot.guests[1]))
    assert moved(relief(snapshot)) == [("b", "hot", "cool")]


def test_guests_that_are_placed_first_are_no_shifted_pressure():
    """They fill a host beyond what the one in need held; the guest goes elsewhere."""
    hosts = {**PRESSED, "spare": {"memory_mb": 16}}
    guests = {
        "leaves": ("hot", 2, 0, 2 * MB),
        "large": ("hot", 4, 20_000, 4 * MB),
        "new": (None, 8, 10_000, 8 * MB),
        "kin": ("cool", 1, 10_000, MB),
    }
    planned = relief(cluster(hosts, guests))
    assert moved(planned) == [("new", None, "cool"), ("leaves", "hot", "spare")]


@settings(max_examples=40)
@given(CLOUDS)
@example(random_cloud(2798))
def test_whatever_the_cluster_relief_obeys_every_rule(cloud):
    snapshot, limits = cloud
    planned = plan(snapshot, goal=Goal.RELIEVE, limits=limits)
    assert problems(snapshot, planned, limits) == []
