# SPDX-License-Identifier: Apache-2.0
"""What is recorded of guests reaches the planner's rules."""

import dataclasses

import pytest

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.db import inventory, moves, reports
from membuddies_nova.facts import GuestFacts, HostFacts, KsmFacts, Number, Reason
from membuddies_nova.planner import Limits
from membuddies_nova.rebalancer import history, planning
from membuddies_nova.rebalancer.policy import Traffic
from tests.functional.rebalancer.fake_cloud import FakeServer
from tests.functional.rebalancer.rows import move, only_move, store_plan

NOW = 1_000_000.0
LIMITS = Limits(cycle_seconds=3600.0, refused_seconds=600.0)
FACTS = HostFacts(mem_total_bytes=2**32, mem_available_bytes=2**31)
GUEST = Guest(uuid="u1", name="a", memory_mb=256, host="m1")


@pytest.fixture
def ended(database):
    """A plan's only move that ended in some way, some seconds ago."""

    def end(state, detail, seconds_ago):
        plan_id = store_plan(database, move(FakeServer("u1", "m0"), "m1"), now=NOW)
        record = only_move(database, plan_id)
        with database.writer() as session:
            assert moves.finish(
                session,
                record.id,
                expected=("planned",),
                state=state,
                detail=detail,
                now=NOW - seconds_ago,
            )
        return plan_id

    return end


def store_report(session, facts, *guests, host="m1", counter=1):
    number = Number(1, counter)
    reports.store(session, host, number, facts, guests, NOW, tag="", key_id="")


def recorded(database, **others):
    with database.reader() as session:
        (guest,) = history.recorded(session, [GUEST], LIMITS, NOW, **others)
    return guest


def test_a_guest_remembers_the_host_that_a_plan_took_it_from(database, ended):
    plan_id = ended("done", "", 100.0)
    assert recorded(database).left_hosts == {"m0": 100.0}
    assert recorded(database, apart_from=plan_id).left_hosts == {}


def test_what_nova_refused_is_remembered_until_the_guest_was_moved(database, ended):
    ended("failed", f"{history.REFUSED}no valid host", 200.0)
    assert recorded(database).refused_seconds == 200.0
    ended("done", "", 100.0)
    assert recorded(database).refused_seconds is None


def test_a_migration_that_nova_took_and_that_failed_is_not_refused(database, ended):
    ended("failed", "migration 7 ended as error: time-out", 200.0)
    assert recorded(database) == GUEST


def test_what_is_long_ago_is_forgotten(database, ended):
    ended("done", "", 3601.0)
    assert recorded(database) == GUEST


def test_a_guest_whose_memory_a_device_pins_is_known_by_its_agents_report(database):
    with database.writer() as session:
        pinned = GuestFacts(uuid="u1", reason=Reason.PINNED)
        store_report(session, FACTS, pinned)
    assert recorded(database).pinned_memory


def scanned(change_fraction_per_hour):
    return GuestFacts(
        uuid="u1",
        counter=1,
        digest="00",
        scanned_at=NOW,
        change_fraction_per_hour=change_fraction_per_hour,
    )


def test_how_fast_a_guest_changes_is_known_by_its_agents_newest_report(database):
    assert recorded(database).change_fraction_per_hour is None
    for counter, rate in enumerate((0.5, 0.05, None, 0.04), 1):
        with database.writer() as session:
            store_report(session, FACTS, scanned(rate), counter=counter)
        assert recorded(database).change_fraction_per_hour == rate


def test_a_host_that_a_guest_has_left_does_not_speak_for_it(database):
    with database.writer() as session:
        store_report(session, FACTS, scanned(0.5), host="m0")
        store_report(session, FACTS)
    assert recorded(database).change_fraction_per_hour is None
    with database.writer() as session:
        store_report(session, FACTS, scanned(0.05), counter=2)
        pinned = GuestFacts(uuid="u1", reason=Reason.PINNED)
        store_report(session, FACTS, pinned, host="m0", counter=2)
    guest = recorded(database)
    assert (guest.change_fraction_per_hour, guest.pinned_memory) == (0.05, False)


def test_what_agents_tell_is_not_kept_as_novas_word(database):
    told = dataclasses.replace(GUEST, change_fraction_per_hour=0.5, pinned_memory=True)
    with database.writer() as session:
        inventory.replace(session, [Host(name="m1", memory_mb=4096)], [told], NOW)
    with database.reader() as session:
        assert inventory.guests(session, NOW) == [GUEST]


def test_a_host_whose_ksm_stays_within_numa_nodes_promises_less(database):
    facts = HostFacts(
        mem_total_bytes=2**32,
        mem_available_bytes=2**31,
        ksm=KsmFacts(merge_across_nodes=0),
    )
    with database.writer() as session:
        inventory.replace(session, [Host(name="m1", memory_mb=4096)], [], NOW)
        store_report(session, facts)
    with database.reader() as session:
        (host,) = inventory.hosts(session, NOW)
    assert host.merged_fraction == 0.5


def test_a_guest_on_its_way_counts_on_both_hosts(database):
    with database.writer() as session:
        hosts = [Host(name=name, memory_mb=4096) for name in ("m0", "m1")]
        inventory.replace(session, hosts, [GUEST], NOW)
    with database.reader() as session:
        current = planning.snapshot(session, LIMITS, NOW)
    (guest,) = planning.with_traffic(current, [Traffic("u1", "m1", "m0")]).guests
    assert (guest.migrating, guest.host, guest.other_host) == (True, "m1", "m0")
    assert planning.with_traffic(current, []) == current


def test_a_resize_that_waits_to_be_confirmed_counts_on_both_hosts(database):
    """As the inventory has it; a migration under way is known fresher."""
    resized = dataclasses.replace(
        GUEST, status="VERIFY_RESIZE", migrating=True, other_host="m0"
    )
    with database.writer() as session:
        hosts = [Host(name=name, memory_mb=4096) for name in ("m0", "m1", "m2")]
        inventory.replace(session, hosts, [resized], NOW)
    with database.reader() as session:
        current = planning.snapshot(session, LIMITS, NOW)
    (guest,) = current.guests
    assert (guest.host, guest.other_host) == ("m1", "m0")
    (guest,) = planning.with_traffic(current, []).guests
    assert guest.other_host == "m0"
    (guest,) = planning.with_traffic(current, [Traffic("u1", "m1", "m2")]).guests
    assert guest.other_host == "m2"
