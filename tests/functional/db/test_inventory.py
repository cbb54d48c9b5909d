# SPDX-License-Identifier: Apache-2.0
"""The last good reading of Nova, and what is remembered across readings."""

import dataclasses

import pytest

from membuddies_nova.cluster import Aggregate, Guest, Host, Image, KsmState, ServerGroup
from membuddies_nova.db import inventory, reports
from membuddies_nova.db.reports import ReportOutcome
from membuddies_nova.facts import Number
from tests.functional.db import examples
from tests.functional.db.examples import guest, host, host_facts, host_of, place

HOST = Host(
    name="compute-ä",
    memory_mb=8192,
    reserved_mb=512,
    ram_allocation_ratio=1.5,
    vcpus=16,
    disk_gb=100,
    zone="nova",
    cell="cell1",
    cpu_traits=("HW_CPU_X86_AVX", "HW_CPU_X86_AVX2"),
    aggregates=(Aggregate(name="fast", metadata={"membuddies:movable": "no"}),),
    up=False,
    hypervisor_version=8002002,
    trust_group="blue",
    ksm=KsmState.UNKNOWN,
)
GUEST = Guest(
    uuid="9f5ab3c1-7f5e-4d0c-8a55-0d8a1c1a7e01",
    name="wéb-1 🦊",
    memory_mb=2048,
    vcpus=2,
    host="compute-ä",
    project="p1",
    image="i1",
    locked=True,
    group=ServerGroup(name="apart", policy="anti-affinity", max_server_per_host=2),
    hints={"different_host": "x"},
    metadata={"role": "web"},
    extra_specs={"hw:mem_page_size": "large"},
    other_host="compute-b",
    movable=False,
    age_seconds=100.0,
    last_moved_seconds=50.0,
)


def read(database, hosts, guests, now):
    with database.writer() as session:
        return inventory.replace(session, hosts, guests, now)


def guests(database, now):
    with database.reader() as session:
        return {one.uuid: one for one in inventory.guests(session, now)}


def test_a_reading_comes_back_as_it_was_given(database):
    read(database, [HOST], [GUEST], 1000.0)
    with database.reader() as session:
        assert inventory.hosts(session, 1000.0) == [HOST]
        assert inventory.guests(session, 1000.0) == [GUEST]
        assert host_of(session, GUEST.uuid) == "compute-ä"
        assert host_of(session, "unknown") is None


def test_images_come_back_and_go_with_the_newest_reading(database):
    debian = Image(id="i1", os_distro="debian", os_version="12", base=None)
    snapshot = Image(id="i2", base="i1")
    for images in ([debian, snapshot], [dataclasses.replace(snapshot, base="i3")], []):
        with database.writer() as session:
            inventory.replace(session, [HOST], [GUEST], 1000.0, images)
        with database.reader() as session:
            assert inventory.images(session) == images


def test_ages_grow_with_the_time_since_the_reading(database):
    read(database, [HOST], [GUEST], 1000.0)
    found = guests(database, 1030.0)[GUEST.uuid]
    assert (found.age_seconds, found.last_moved_seconds) == (130.0, 80.0)


def test_what_vanished_from_nova_vanishes_here(database):
    place(database, 1.0, g1="h1", g2="h2")
    place(database, 2.0, g2="h2", g3="h2")
    assert set(guests(database, 2.0)) == {"g2", "g3"}
    with database.reader() as session:
        assert [one.name for one in inventory.hosts(session, 2.0)] == ["h2"]


def test_facts_follow_the_newest_reading(database):
    read(database, [host("h1")], [guest("g1")], 1.0)
    read(database, [host("h1", up=False)], [guest("g1", status="SHUTOFF")], 2.0)
    assert guests(database, 2.0)["g1"].status == "SHUTOFF"
    with database.reader() as session:
        assert not inventory.hosts(session, 2.0)[0].up


def test_a_guest_on_another_host_than_before_was_moved_now(database):
    place(database, 100.0, g1="h1", g2="h1")
    place(database, 200.0, g1="h2", g2="h1")
    found = guests(database, 230.0)
    assert found["g1"].last_moved_seconds == 30.0
    assert found["g2"].last_moved_seconds is None


def test_the_move_is_remembered_by_later_readings(database):
    place(database, 100.0, g1="h1")
    place(database, 200.0, g1="h2")
    place(database, 300.0, g1="h2")
    assert guests(database, 300.0)["g1"].last_moved_seconds == 100.0


def test_novas_own_word_on_the_last_move_is_believed(database):
    place(database, 100.0, g1="h1")
    moved = dataclasses.replace(guest("g1", "h2"), last_moved_seconds=40.0)
    read(database, [host("h2")], [moved], 200.0)
    assert guests(database, 200.0)["g1"].last_moved_seconds == 40.0


def test_a_guest_that_gets_its_first_host_was_not_moved(database):
    place(database, 100.0, g1=None)
    place(database, 200.0, g1="h1")
    place(database, 300.0, g1=None)
    found = guests(database, 300.0)["g1"]
    assert (found.host, found.last_moved_seconds) == (None, None)


def test_a_reading_that_fails_keeps_the_last_good_one(database):
    with database.reader() as session:
        never = inventory.InventoryState(read_at=None, attempted_at=None, error=None)
        assert inventory.state(session) == never
    place(database, 100.0, g1="h1")
    with database.writer() as session:
        inventory.failed(session, "Nova does not answer", 160.0)
    with database.reader() as session:
        assert inventory.state(session) == inventory.InventoryState(
            read_at=100.0, attempted_at=160.0, error="Nova does not answer"
        )
    assert set(guests(database, 160.0)) == {"g1"}
    place(database, 220.0, g1="h1")
    with database.reader() as session:
        assert inventory.state(session).error is None


def test_a_reading_begun_earlier_does_not_replace_a_later_one(database):
    place(database, 200.0, g1="h2")
    assert not read(database, [host("h1")], [guest("g1", "h1")], 100.0)
    assert guests(database, 200.0)["g1"].host == "h2"


def test_a_reading_that_breaks_off_changes_nothing(database):
    place(database, 100.0, g1="h1")

    def half_a_reading():
        yield guest("g2", "h1")
        raise OSError

    with pytest.raises(OSError), database.writer() as session:
        inventory.replace(session, [host("h9")], half_a_reading(), 200.0)
    assert set(guests(database, 200.0)) == {"g1"}
    with database.reader() as session:
        assert inventory.state(session).read_at == 100.0


def report(database, ksm=None, now=100.0, number=(1, 1), **facts):
    with database.writer() as session:
        told = host_facts(ksm, **facts)
        return examples.report(session, "h1", number, told, now=now)


def test_a_host_has_what_its_newest_report_says(database):
    place(database, g1="h1")
    report(database, {"state": KsmState.MERGING}, 100.0, memory_pressure=0.25)
    with database.reader() as session:
        (found,) = inventory.hosts(session, 110.0)
    assert found.ksm is KsmState.MERGING
    assert found.pressure == 0.25
    assert found.available_mb == 3072


def test_a_report_that_is_too_old_says_nothing(database):
    place(database, g1="h1")
    report(database, {"state": KsmState.MERGING}, 100.0, memory_pressure=0.25)
    with database.reader() as session:
        (found,) = inventory.hosts(session, 161.0, report_age_limit_seconds=60.0)
    assert found.ksm is KsmState.UNKNOWN
    assert (found.pressure, found.available_mb) == (None, None)


def test_a_report_of_a_replaced_agent_is_refused(database):
    assert report(database, now=100.0, number=(5, 9)) is ReportOutcome.STORED
    assert report(database, now=110.0, number=(6, 1)) is ReportOutcome.STORED
    assert report(database, now=120.0, number=(5, 10)) is ReportOutcome.OLDER
    with database.reader() as session:
        (found,) = reports.all(session)
    assert (found.number, found.received_at) == (Number(6, 1), 110.0)


def test_a_report_that_comes_twice_renews_nothing(database):
    assert report(database, now=100.0) is ReportOutcome.STORED
    assert report(database, now=110.0) is ReportOutcome.DUPLICATE
    with database.reader() as session:
        (found,) = reports.all(session)
    assert found.received_at == 100.0


def test_another_report_of_the_same_number_is_refused(database):
    with database.writer() as session:
        assert examples.report(session, tag="a") is ReportOutcome.STORED
        assert examples.report(session, tag="b") is ReportOutcome.OLDER


def test_a_report_says_under_which_key_its_agent_works(database):
    with database.writer() as session:
        examples.report(session, key_id="00112233445566ff")
    with database.reader() as session:
        assert reports.all(session)[0].key_id == "00112233445566ff"


def test_the_newest_facts_of_one_host_are_found(database):
    report(database, {"state": KsmState.OFF}, now=100.0)
    with database.reader() as session:
        assert reports.facts(session, "h1") == host_facts({"state": KsmState.OFF})
        assert reports.facts(session, "h2") is None
