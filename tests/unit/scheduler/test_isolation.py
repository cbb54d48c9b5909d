# SPDX-License-Identifier: Apache-2.0
"""KsmIsolationFilter in Nova's own hands: its manager, handler, options, objects."""

import itertools
import logging
import threading

import pytest

from membuddies_nova.cluster import KsmState
from membuddies_nova.scheduler import isolation
from membuddies_nova.scheduler.isolation import KsmIsolationFilter
from membuddies_nova.scoreboard.tenancy import Tenancy
from tests.unit.scheduler.requests import instance_uuid, objects, spec, state
from tests.unit.scoreboard.boards import GuestRow, board

CLASS = "membuddies_nova.scheduler.isolation.KsmIsolationFilter"
BLUE = {"membuddies:trust_group": "blue"}
MERGING, OFF = KsmState.MERGING, KsmState.OFF
FREE = {"membuddies:ksm_free": "true"}

# Guest 1 of project p1 on m0, guest 2 of p2 on m1, nobody on m2.
GUESTS = (
    GuestRow(uuid=instance_uuid(1), host="m0", project="p1"),
    GuestRow(uuid=instance_uuid(2), host="m1", project="p2"),
)
HOSTS = {"m0": (MERGING, 0), "m1": (MERGING, 0), "m2": (MERGING, 0)}
BOARD = board(hosts=HOSTS, guests=GUESTS)


@pytest.fixture
def manager(host_manager, boards, memory):
    return host_manager(CLASS)


def states(**metadata):
    """The three hosts as Nova sees them; ``metadata`` of an aggregate by host."""
    return [
        state("m0", instances=[1], metadata=[metadata.get("m0", {})]),
        state("m1", instances=[2], metadata=[metadata.get("m1", {})]),
        state("m2", metadata=[metadata.get("m2", {})]),
    ]


def passing(manager, hosts, request):
    """What Nova's manager leaves of the hosts."""
    return [found.host for found in manager.get_filtered_hosts(hosts, request)]


def test_nova_enables_it_by_the_lines_in_its_docstring(manager):
    for line in ("nova.scheduler.filters.all_filters", CLASS):
        assert f"available_filters = {line}\n" in isolation.__doc__
    assert [type(found) for found in manager.enabled_filters] == [KsmIsolationFilter]
    assert not KsmIsolationFilter.run_filter_once_per_request


def test_guests_of_two_projects_are_kept_apart(manager, boards):
    boards.hold(BOARD)
    assert passing(manager, states(), spec(project="p1")) == ["m0", "m2"]
    assert passing(manager, states(), spec(project="p2")) == ["m1", "m2"]
    assert passing(manager, states(), spec(project="p3")) == ["m2"]


def test_a_trust_group_binds_guests_of_several_projects(manager, boards):
    blue = GuestRow(uuid=instance_uuid(1), host="m0", project="p1", group="blue")
    boards.hold(board(hosts=HOSTS, guests=(blue, GUESTS[1])))
    request = spec(project="p2", extra_specs=BLUE)
    assert passing(manager, states(), request) == ["m0", "m2"]
    # Of its own project, but not of its group.
    assert passing(manager, states(), spec(project="p1")) == ["m2"]


def test_an_aggregates_trust_group_reserves_its_hosts(manager, boards):
    boards.hold(BOARD)
    hosts = {"m0": BLUE, "m2": BLUE}
    assert passing(manager, states(**hosts), spec(project="p1")) == []
    request = spec(project="p3", extra_specs=BLUE)
    assert passing(manager, states(**hosts), request) == ["m2"]


def test_two_aggregates_that_contradict_each_other_take_nobody(manager, boards):
    boards.hold(BOARD)
    red = {"membuddies:trust_group": "red"}
    host = state("m2", metadata=[BLUE, red])
    for extra_specs in (BLUE, red, {}):
        assert passing(manager, [host], spec(extra_specs=extra_specs)) == []


@pytest.mark.parametrize(
    ("ksm", "metadata", "open_to_all"),
    [
        (OFF, FREE, True),
        (OFF, {}, False),
        (OFF, {"membuddies:ksm_free": "perhaps"}, False),
        (KsmState.UNKNOWN, FREE, False),
        (KsmState.MANAGED, FREE, False),
        (MERGING, FREE, False),
    ],
)
def test_only_hosts_declared_free_of_ksm_and_confirmed_take_strangers(
    manager, boards, ksm, metadata, open_to_all
):
    boards.hold(board(hosts={**HOSTS, "m1": (ksm, 0)}, guests=GUESTS))
    found = passing(manager, states(m1=metadata), spec(project="p1"))
    assert ("m1" in found) is open_to_all


def test_a_host_declared_free_of_ksm_that_the_board_does_not_know_is_not(
    manager, boards
):
    boards.hold(BOARD)
    host = state("m9", instances=[2], metadata=[FREE])
    assert passing(manager, [host], spec(project="p1")) == []


def test_a_guest_that_only_the_board_places_there_counts(manager, boards):
    boards.hold(BOARD)
    assert passing(manager, [state("m1")], spec(project="p1")) == []


@pytest.mark.parametrize("closed", [True, False])
def test_a_guest_that_nobody_knows_is_foreign_if_it_fails_closed(
    manager, boards, nova_conf, closed
):
    nova_conf.config(isolation_fails_closed=closed, group="membuddies")
    boards.hold(BOARD)
    host = state("m2", instances=[7])
    assert passing(manager, [host], spec(project="p1")) == ([] if closed else ["m2"])


def test_a_guest_of_an_earlier_request_is_known_before_the_board_knows_it(
    manager, boards
):
    boards.hold(BOARD)
    passing(manager, states(), spec(number=7, project="p3"))
    host = state("m2", instances=[7])
    assert passing(manager, [host], spec(number=8, project="p3")) == ["m2"]
    assert passing(manager, [host], spec(number=9, project="p1")) == []


@pytest.mark.parametrize(
    ("told", "kin"),
    [
        ({"project_id": "p1", "extra_specs": {}}, True),
        ({"project_id": "p2", "extra_specs": {}}, False),
        ({"project_id": "p1", "extra_specs": BLUE}, False),
        # As Nova reads it from its database: it might be of a trust group.
        ({"project_id": "p1"}, False),
    ],
)
def test_what_a_compute_host_announced_counts(manager, boards, told, kin):
    boards.hold(BOARD)
    host = state("m2")
    instance = objects.Instance(uuid=instance_uuid(7), project_id=told["project_id"])
    if "extra_specs" in told:
        instance.flavor = objects.Flavor(extra_specs=told["extra_specs"])
    host.instances[instance.uuid] = instance
    assert passing(manager, [host], spec(project="p1")) == (["m2"] if kin else [])


def test_a_guest_that_is_moved_is_no_stranger_to_itself(manager, boards):
    boards.hold(BOARD)
    grouped = spec(number=1, project="p1", extra_specs=BLUE)
    assert passing(manager, states(), grouped) == ["m0", "m2"]


def test_without_a_board_only_hosts_of_known_guests_take_another(manager, boards):
    passing(manager, states(), spec(number=7, project="p1"))
    hosts = [*states(m1=FREE), state("m7", instances=[7])]
    assert passing(manager, hosts, spec(number=8, project="p1")) == ["m2", "m7"]


def test_without_a_board_it_may_be_told_to_fail_open(manager, nova_conf):
    nova_conf.config(isolation_fails_closed=False, group="membuddies")
    assert passing(manager, states(), spec()) == ["m0", "m1", "m2"]


def test_a_forced_host_and_a_rebuild_pass_it_by(manager, boards):
    boards.hold(BOARD)
    forced = spec(project="p1")
    forced.force_hosts = ["m1"]
    assert passing(manager, states(), forced) == ["m1"]
    rebuild = spec(project="p1")
    rebuild.scheduler_hints = {"_nova_check_type": ["rebuild"]}
    rebuild.force_hosts = ["m1"]
    assert passing(manager, states(), rebuild) == ["m1"]


def test_a_host_that_is_only_asked_for_is_judged(manager, boards):
    boards.hold(BOARD)
    request = spec(project="p1")
    request.requested_destination = objects.Destination(host="m1", node="m1")
    assert passing(manager, states(), request) == []


@pytest.mark.parametrize("closed", [True, False])
def test_a_host_or_request_that_cannot_be_read_is_refused_if_it_fails_closed(
    manager, boards, nova_conf, closed
):
    nova_conf.config(isolation_fails_closed=closed, group="membuddies")
    boards.hold(BOARD)
    broken = state("m2")
    broken.instances = None
    expected = ["m0"] if closed else ["m2", "m0"]
    hosts = [broken, state("m0", instances=[1])]
    assert passing(manager, hosts, spec(project="p1")) == expected
    (one,) = manager.enabled_filters
    assert one.filter_all([state("m2")], object()) == [] if closed else [broken]
    assert one.host_passes(state("m2"), object()) is not closed


def test_a_thousand_refusals_are_one_line(manager, boards, caplog):
    caplog.set_level(logging.INFO, "membuddies_nova")
    for _ in range(1000):
        passing(manager, states(), spec(project="p3"))
    ours = [r.getMessage() for r in caplog.records if "membuddies" in r.name]
    assert len(ours) == 2
    assert "no fresh scoreboard" in ours[0]
    assert "2 of 3 hosts" in ours[1]


def test_hosts_may_gain_and_lose_guests_while_they_are_judged(manager, boards, caplog):
    boards.hold(BOARD)
    (one,) = manager.enabled_filters
    host = state("m0", instances=[1])
    guests = board(
        hosts=HOSTS,
        guests=tuple(
            GuestRow(uuid=instance_uuid(number), host="m0", project="p1")
            for number in range(1, 200)
        ),
    )
    boards.hold(guests)
    stub = objects.Instance(uuid=instance_uuid(1))
    done = threading.Event()

    def change():
        for number in itertools.cycle(range(100, 200)):
            host.instances[instance_uuid(number)] = stub
            host.instances.pop(instance_uuid(number - 50), None)
            if done.wait(1e-5):
                return

    thread = threading.Thread(target=change)
    thread.start()
    try:
        request = spec(project="p1")
        assert {one.host_passes(host, request) for _ in range(10_000)} == {True}
    finally:
        done.set()
        thread.join()
    assert not [r for r in caplog.records if "membuddies" in r.name]


def test_its_tables_are_made_before_a_request_needs_them():
    fresh = board(hosts=HOSTS, guests=GUESTS)
    assert isinstance(vars(fresh.prepared())["tenancy"], Tenancy)
