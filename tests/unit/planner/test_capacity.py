# SPDX-License-Identifier: Apache-2.0
"""How many waiting guests fit, by policy."""

import dataclasses

import pytest

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.planner.capacity import POLICIES, fill
from tests.unit.model.clusters import snapshot_of_pages

RED, BLUE = range(700), range(5000, 5700)


def cluster(order, memory_mb=7, overhead_mb=0):
    """Two hosts, and guests of 3 MB that hold the pages of their colour."""
    names = [f"{colour}{at}" for at, colour in enumerate(order)]
    return snapshot_of_pages(
        {name: RED if name.startswith("red") else BLUE for name in names},
        hosts=[
            Host(name=name, memory_mb=memory_mb, overhead_mb=overhead_mb)
            for name in ("m0", "m1")
        ],
        guests=[
            Guest(uuid=name, name=name, memory_mb=3, image=name.rstrip("0123456789"))
            for name in names
        ],
    )


def test_sharing_decides_where_a_guest_fits_beside_its_kin():
    snapshot = cluster(["red", "blue", *["red", "red", "blue", "blue"] * 3])
    placed = {"red0": "m0", "blue1": "m1"}
    guests = tuple(
        dataclasses.replace(guest, host=placed.get(guest.uuid))
        for guest in snapshot.guests
    )
    snapshot = dataclasses.replace(snapshot, guests=guests)
    fitted = {policy: fill(snapshot, policy).placed for policy in POLICIES}
    assert fitted["union"] == fitted["original"] == fitted["image"] == 12
    assert max(fitted["first-fit"], fitted["ram-spread"]) < 6


def test_union_parts_guests_that_share_little_before_hosts_are_full():
    snapshot = cluster(["red", "blue", "blue", "red"] * 6)
    union = fill(snapshot, "union")
    assert union.placed > 2 * fill(snapshot, "first-fit").placed
    colours = [{name[:3] for name in use.guests} for use in union.hosts.values()]
    assert sorted(map(len, colours)) == [1, 1]


def test_kin_stay_together_while_there_is_room():
    filling = fill(cluster(["red", "red", "red"], memory_mb=30), "union")
    assert filling.hosts["m0"].guests == ("red0", "red1", "red2")


def test_a_guest_arrives_whole_with_its_overhead_and_may_fill_the_host_exactly():
    assert fill(cluster(["red"], memory_mb=3), "first-fit").placed == 1
    assert fill(cluster(["red"], memory_mb=3, overhead_mb=1), "first-fit").placed == 0


def test_the_allocation_ratio_admits_nobody_and_keeps_nobody_out():
    snapshot = cluster(["red"] * 9)
    for ratio in (0.1, 9.0):
        hosts = tuple(
            dataclasses.replace(host, ram_allocation_ratio=ratio)
            for host in snapshot.hosts
        )
        changed = dataclasses.replace(snapshot, hosts=hosts)
        assert fill(changed, "union") == fill(snapshot, "union")


@pytest.mark.parametrize("policy", POLICIES)
def test_ties_go_to_the_first_host_and_giants_are_skipped(policy):
    snapshot = cluster(["red"])
    giant = Guest(uuid="giant", name="giant", memory_mb=4096)
    snapshot = dataclasses.replace(snapshot, guests=(giant, *snapshot.guests))
    filling = fill(snapshot, policy)
    assert filling.placed == 1
    assert filling.hosts["m0"].guests == ("red0",)


def test_guests_that_are_placed_already_stay_and_are_not_counted():
    snapshot = cluster(["red", "red"])
    first = dataclasses.replace(snapshot.guests[0], host="m1")
    snapshot = dataclasses.replace(snapshot, guests=(first, snapshot.guests[1]))
    filling = fill(snapshot, "union")
    assert (filling.placed, filling.hosts["m1"].guests) == (1, ("red0", "red1"))
