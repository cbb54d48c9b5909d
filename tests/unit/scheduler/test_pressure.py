# SPDX-License-Identifier: Apache-2.0
"""MemoryPressureFilter in Nova's own hands: its manager, handler, options, objects."""

import logging

import pytest

from membuddies_nova.cluster import KsmState
from membuddies_nova.scheduler import pressure
from membuddies_nova.scheduler.pressure import MemoryPressureFilter
from tests.unit.scheduler.requests import (
    guests_coming_and_going,
    instance_uuid,
    objects,
    spec,
    state,
)
from tests.unit.scoreboard.boards import GuestRow, HostRow, board

CLASS = "membuddies_nova.scheduler.pressure.MemoryPressureFilter"


@pytest.fixture
def manager(host_manager, boards, memory):
    return host_manager(CLASS)


def board_of(available_mb=-1, guests=(), **facts):
    """A board with the host m0."""
    return board(
        hosts={"m0": (KsmState.MERGING, available_mb)},
        facts={"m0": HostRow(**facts)},
        guests=guests,
    )


def passes(manager, request, *hosts):
    """Whether Nova's manager leaves all of the hosts."""
    hosts = hosts or (state("m0"),)
    return len(manager.get_filtered_hosts(hosts, request)) == len(hosts)


def test_nova_enables_it_by_the_lines_in_its_docstring(manager):
    for line in ("nova.scheduler.filters.all_filters", CLASS):
        assert f"available_filters = {line}\n" in pressure.__doc__
    assert [type(found) for found in manager.enabled_filters] == [MemoryPressureFilter]
    assert not MemoryPressureFilter.run_filter_once_per_request


@pytest.mark.parametrize(
    ("sharing_mb", "fraction", "least_mb"),
    [(4000, 0.25, 2000), (4000, 0.5, 3000), (4000, 0.0, 1000), (-1, 0.25, 1000)],
)
def test_a_host_must_hold_the_guest_and_a_part_of_what_ksm_saves(
    manager, boards, nova_conf, sharing_mb, fraction, least_mb
):
    nova_conf.config(unshare_fraction=fraction, group="membuddies")
    boards.hold(board_of(least_mb, sharing_mb=sharing_mb))
    assert passes(manager, spec(memory_mb=1000))
    boards.hold(board_of(least_mb - 1, sharing_mb=sharing_mb))
    assert not passes(manager, spec(memory_mb=1000))


@pytest.mark.parametrize(
    ("option", "fact", "limit", "at", "over"),
    [
        ("memory_pressure_limit", "pressure_percent", 0.1, 10, 11),
        ("swap_in_limit_pages_per_second", "swap_in", 100.0, 100, 101),
    ],
)
def test_a_host_over_a_limit_is_turned_away(
    manager, boards, nova_conf, option, fact, limit, at, over
):
    assert nova_conf.conf.membuddies[option] == limit
    boards.hold(board_of(8000, **{fact: at}))
    assert passes(manager, spec())
    boards.hold(board_of(8000, **{fact: over}))
    assert not passes(manager, spec())
    nova_conf.config(**{option: 1.0 if limit < 1 else 1e9}, group="membuddies")
    assert passes(manager, spec())


def test_what_is_booked_and_not_yet_measured_counts(manager, boards):
    booked = GuestRow(uuid=instance_uuid(1), host="m0", memory_mb=3000, pending=True)
    settled = GuestRow(uuid=instance_uuid(2), host="m0", memory_mb=9000)
    boards.hold(board_of(4000, (booked, settled)))
    host = state("m0", instances=[1, 2])
    assert passes(manager, spec(memory_mb=1000), host)
    assert not passes(manager, spec(memory_mb=1001), host)


def test_guests_that_the_board_does_not_place_there_yet_count(manager, boards):
    moved = GuestRow(uuid=instance_uuid(1), host=None, memory_mb=1000)
    boards.hold(board_of(6000, (moved,)))
    passes(manager, spec(number=2, memory_mb=2000))
    host = state("m0", instances=[1, 2])
    told = objects.Instance(uuid=instance_uuid(3), memory_mb=500)
    host.instances |= {told.uuid: told}
    assert passes(manager, spec(number=9, memory_mb=2500), host)
    assert not passes(manager, spec(number=9, memory_mb=2501), host)


def test_guests_of_one_request_take_memory_from_each_other(manager, boards):
    boards.hold(board_of(2500))
    host, request = state("m0"), spec(number=1, memory_mb=1000)
    booked = []
    for number in (1, 2, 3):
        request.instance_uuid = instance_uuid(number)
        if manager.get_filtered_hosts([host], request, index=number - 1):
            host.consume_from_request(request)
            # Nova does so for members of a server group.
            stub = objects.Instance(uuid=instance_uuid(number))
            host.instances[stub.uuid] = stub
            booked.append(number)
    assert booked == [1, 2]


def test_a_rebuild_stays_where_it_is(manager, boards):
    boards.hold(board_of(0))
    rebuild = spec()
    rebuild.scheduler_hints = {"_nova_check_type": ["rebuild"]}
    rebuild.force_hosts = ["m0"]
    assert passes(manager, rebuild)
    assert not passes(manager, spec())


def test_without_a_board_every_host_passes_and_it_says_so_once(manager, boards, caplog):
    for _ in range(100):
        assert passes(manager, spec(), state("m0"), state("m1"))
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == [
        "no fresh scoreboard, so every host passes"
    ]


def test_a_host_without_data_passes_and_it_says_so_once(manager, boards, caplog):
    boards.hold(board_of())
    for _ in range(100):
        assert passes(manager, spec(), state("m0"), state("brand-new"))
    (line,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert "nothing is known of the memory of host brand-new" in line


def test_one_missing_fact_leaves_the_others_in_force(manager, boards):
    boards.hold(board_of(8000, pressure_percent=90))
    assert not passes(manager, spec())
    boards.hold(board_of(8000, swap_in=5000))
    assert not passes(manager, spec())
    boards.hold(board_of(-1, pressure_percent=90))
    assert not passes(manager, spec())


def test_a_host_or_request_that_cannot_be_read_passes(manager, boards, caplog):
    boards.hold(board_of(8000))
    broken = state("m0")
    broken.instances = None
    assert passes(manager, spec(), broken)
    (one,) = manager.enabled_filters
    assert one.host_passes(state("m0"), object())
    assert one.host_passes(state("m0"), None)
    assert len([r for r in caplog.records if "membuddies" in r.name]) == 2


def test_a_thousand_refusals_are_one_line(manager, boards, caplog):
    caplog.set_level(logging.INFO, "membuddies_nova")
    boards.hold(board_of(10))
    for _ in range(1000):
        assert not passes(manager, spec())
    ours = [r.getMessage() for r in caplog.records if "membuddies" in r.name]
    assert len(ours) == 1
    assert "1 of 1 hosts" in ours[0]


def test_hosts_may_gain_and_lose_guests_while_they_are_judged(manager, boards, caplog):
    uuids = [instance_uuid(number) for number in range(100)]
    # Of two guests that come and go only Nova knows.
    known = tuple(GuestRow(uuid=uuid, host="m0") for uuid in uuids[2:])
    boards.hold(board_of(8000, known))
    (one,) = manager.enabled_filters
    host = state("m0", instances=range(50))
    request = spec()
    with guests_coming_and_going(host, uuids):
        assert {one.host_passes(host, request) for _ in range(10_000)} == {True}
    assert not [r for r in caplog.records if "membuddies" in r.name]
