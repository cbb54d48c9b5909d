# SPDX-License-Identifier: Apache-2.0
"""Our own rules, asked once more right before a move starts."""

import dataclasses

import pytest

from membuddies_nova.db import inventory
from membuddies_nova.planner import Limits
from tests.functional.rebalancer import rows
from tests.functional.rebalancer.execution.bench import RULES
from tests.functional.rebalancer.rows import move

PATIENT = dataclasses.replace(
    RULES.wishes, limits=Limits(min_gain_mb=1.0, cooldown_seconds=3600)
)


def test_a_destination_that_has_filled_up_since_is_skipped(bench, monkeypatch):
    server = bench.emulator.add_server("c1")
    bench.read_inventory()
    plan_id = bench.store(move(server, "c2"))
    for _ in range(16):
        bench.emulator.add_server("c2")
    bench.read_inventory()

    bench.steps(4)

    (record,) = rows.move_rows(bench.database, plan_id)
    assert record.state == "skipped"
    assert "placement-memory" in record.detail
    assert bench.emulator.posts == []


def test_what_moved_since_the_inventory_was_read_counts_where_it_went(bench):
    """Two guests for the last place: the second finds it taken."""
    first, second = (bench.emulator.add_server("c1") for _ in range(2))
    for _ in range(15):
        bench.emulator.add_server("c2")
    bench.read_inventory()
    plan_id = bench.store(move(first, "c2"), move(second, "c2", wave=2))

    bench.steps(14)

    assert bench.states(plan_id) == ["done", "skipped"]


def test_what_is_under_way_counts_where_it_goes(bench):
    first, second = (bench.emulator.add_server("c1", held=True) for _ in range(2))
    for _ in range(15):
        bench.emulator.add_server("c2")
    bench.read_inventory()
    plan_id = bench.store(move(first, "c2"), move(second, "c2"))

    bench.steps(4)

    assert bench.states(plan_id) == ["running", "skipped"]


def test_a_guest_that_opted_out_since_is_skipped(bench):
    server = bench.emulator.add_server("c1")
    bench.read_inventory()
    plan_id = bench.store(move(server, "c2"))
    with bench.database.writer() as session:
        hosts = inventory.hosts(session, bench.clock.now)
        guests = [
            dataclasses.replace(guest, movable=False)
            for guest in inventory.guests(session, bench.clock.now)
        ]
        inventory.replace(session, hosts, guests, bench.clock.now)

    bench.steps(4)

    (record,) = rows.move_rows(bench.database, plan_id)
    assert (record.state, record.detail.split(":")[0]) == ("skipped", "opted-out")


def parked(bench):
    """A swap of two guests for which the first makes room on a third host.

    Each host has room for 16 guests, and the two are full.
    """
    first, second = (bench.emulator.add_server(host) for host in ("c1", "c2"))
    for host in ("c1", "c2"):
        for _ in range(15):
            bench.emulator.add_server(host)
    bench.read_inventory()
    return first, second


def swap(first, second):
    return (
        move(first, "c3"),
        move(second, "c1", wave=2),
        dataclasses.replace(move(first, "c2", wave=3), source="c3"),
    )


def test_a_parked_guest_goes_on_to_where_its_plan_wants_it(bench):
    """Its own first move starts no cooldown for the second."""
    first, second = parked(bench)
    bench.change(wishes=PATIENT)
    plan_id = bench.store(*swap(first, second))

    for _ in range(10):
        bench.steps(4)
        bench.read_inventory()

    assert bench.states(plan_id) == ["done", "done", "done"]
    assert bench.plan(plan_id).state == "done"
    assert (first.host, second.host) == ("c2", "c1")
    assert bench.emulator.posts == [first.uuid, second.uuid, first.uuid]


def test_a_parked_guest_goes_on_though_the_inventory_saw_it_on_its_way(bench):
    server = bench.emulator.add_server("c1")
    bench.read_inventory()
    plan_id = bench.store(
        move(server, "c3"),
        dataclasses.replace(move(server, "c2", wave=2), source="c3"),
    )

    for _ in range(20):
        if server.task_state is not None and server.host == "c1":
            bench.read_inventory()
        bench.steps(1)

    assert bench.states(plan_id) == ["done", "done"]


@pytest.mark.parametrize(("places", "state"), [(1, "skipped"), (2, "running")])
def test_what_the_inventory_saw_under_way_counts_once(bench, places, state):
    first, second = (bench.emulator.add_server("c1", held=True) for _ in range(2))
    for _ in range(16 - places):
        bench.emulator.add_server("c2")
    bench.read_inventory()
    bench.change(caps=dataclasses.replace(RULES.caps, in_total=1))
    plan_id = bench.store(move(first, "c2"), move(second, "c2"))
    bench.steps(6)
    assert bench.states(plan_id) == ["running", "planned"]

    bench.read_inventory()
    bench.change(caps=RULES.caps)
    bench.steps(6)

    assert bench.states(plan_id) == ["running", state]


def test_a_guest_that_another_plan_has_just_moved_waits_for_its_cooldown(bench):
    server = bench.emulator.add_server("c1")
    bench.read_inventory()
    bench.change(wishes=PATIENT)
    server.host = "c3"
    bench.clock.now += 10
    bench.read_inventory()
    plan_id = bench.store(move(server, "c2"))

    bench.steps(4)

    (record,) = rows.move_rows(bench.database, plan_id)
    assert (record.state, record.detail.split(":")[0]) == ("skipped", "cooldown")


def test_a_guest_that_could_not_be_parked_stays_with_all_that_follows(bench):
    first, second = parked(bench)
    first.ending = "failed"
    plan_id = bench.store(*swap(first, second))

    bench.steps(20)

    assert bench.states(plan_id) == ["failed", "skipped", "skipped"]
    assert (first.host, second.host) == ("c1", "c2")
