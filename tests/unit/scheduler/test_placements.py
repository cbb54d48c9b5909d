# SPDX-License-Identifier: Apache-2.0
"""Where Nova's own filters and weighers place guests, with ours among them."""

import itertools

import pytest
from nova.scheduler import filters, weights
from nova.scheduler.filters import affinity_filter

from membuddies_nova.cluster import KsmState
from membuddies_nova.scheduler import local_board
from tests.unit.scheduler.requests import IMAGE, instance_uuid, objects, spec, state
from tests.unit.scoreboard.boards import GuestRow, board

WEIGHERS = [
    "nova.scheduler.weights.all_weighers",
    "membuddies_nova.scheduler.weigher.SharingWeigher",
]
ROW = ("project:p1", f"image:{IMAGE}")
OTHER = ("project:p2", f"image:{IMAGE}")
OLD = ("project:p1", f"image:{instance_uuid(40)}")
MERGING = (KsmState.MERGING, 8000)
HOSTS = ("m0", "m1", "m2")


@pytest.fixture
def place(nova_conf, monkeypatch):
    """Books a request's guests as Nova's scheduler does; returns their hosts.

    Each guest is placed by the handlers, then booked on the HostState, which Nova
    makes anew for each request.
    """
    nova_conf.config(weight_classes=WEIGHERS, group="filter_scheduler")
    boards = local_board.LocalBoard(nova_conf.conf)
    monkeypatch.setattr(boards, "start", lambda: None)
    monkeypatch.setattr(local_board, "shared", lambda: boards)
    handler = weights.HostWeightHandler()
    weighers = [
        cls()
        for cls in handler.get_matching_classes(
            nova_conf.conf.filter_scheduler.weight_classes
        )
    ]
    groups = [
        affinity_filter.ServerGroupAffinityFilter(),
        affinity_filter.ServerGroupAntiAffinityFilter(),
    ]

    def booked(value, request, states, guests=1, first=900):
        boards.hold(value)
        hosts = []
        for number in range(guests):
            request.instance_uuid = instance_uuid(first + number)
            passed = filters.HostFilterHandler().get_filtered_objects(
                groups, states, request
            )
            weighed = handler.get_weighed_objects(weighers, list(passed), request)
            chosen = weighed[0].obj
            chosen.consume_from_request(request)
            hosts.append(chosen.host)
            if request.instance_group is not None:
                request.instance_group.hosts.append(chosen.host)
                chosen.instances[request.instance_uuid] = objects.Instance(
                    uuid=request.instance_uuid
                )
        return hosts

    return booked


def states(**free_ram_mb):
    found = [state(host, free_ram_mb=free_ram_mb.get(host, 8000)) for host in HOSTS]
    for each in found:
        each.cell_uuid = instance_uuid(0)
    return found


def new_image():
    """A board that knows what guests of one other image share."""
    return board(
        hosts=dict.fromkeys(HOSTS, MERGING),
        rows={OLD: {}},
        overlaps={(OLD, OLD): 200.0},
    )


def group(policy):
    return objects.InstanceGroup(
        uuid=instance_uuid(70),
        policy=policy,
        policies=[policy],
        hosts=[],
        members=[instance_uuid(900 + number) for number in range(3)],
        _rules={},
    )


def test_ten_guests_of_a_new_image_are_placed_together(place):
    hosts = place(new_image(), spec(memory_mb=600), states(), guests=10)
    assert len(set(hosts)) == 1


def test_what_does_not_fit_unshared_goes_elsewhere(place):
    hosts = place(new_image(), spec(memory_mb=2000), states(), guests=10)
    # Of 8000 MB each, four fit; each next host is filled in turn.
    assert [len(list(run)) for _, run in itertools.groupby(hosts)][:2] == [4, 4]


def test_anti_affinity_is_kept_against_all_kin(place):
    request = spec(memory_mb=600)
    request.instance_group = group("anti-affinity")
    assert sorted(place(new_image(), request, states(), guests=3)) == list(HOSTS)


def test_affinity_is_kept_where_kin_are_elsewhere(place):
    value = board(hosts=dict.fromkeys(HOSTS, MERGING), rows={ROW: {"m0": 300.0}})
    request = spec(memory_mb=600)
    request.instance_group = group("affinity")
    request.instance_group.hosts = ["m2"]
    assert place(value, request, states(), guests=3) == ["m2"] * 3


@pytest.mark.parametrize("ksm", [KsmState.OFF, KsmState.UNKNOWN])
def test_kin_on_a_host_that_does_not_merge_draw_nobody(place, ksm):
    # UNKNOWN is also run=0 with pages that are still merged.
    value = board(
        hosts={**dict.fromkeys(HOSTS, MERGING), "m0": (ksm, 8000)},
        rows={ROW: {"m0": 300.0, "m1": 100.0}},
    )
    assert place(value, spec(), states(m1=6000)) == ["m1"]


def test_two_projects_booted_at_once_do_not_draw_each_other(place):
    value = board(
        hosts=dict.fromkeys(HOSTS, MERGING),
        rows={ROW: {"m0": 300.0}, OTHER: {"m2": 300.0}},
        overlaps={(ROW, ROW): 300.0, (OTHER, OTHER): 300.0},
    )
    shared = states()
    for _ in range(3):
        assert place(value, spec(project="p1"), shared) == ["m0"]
        assert place(value, spec(project="p2"), shared) == ["m2"]


def test_without_instance_tracking_bookings_are_known_by_their_requests(place):
    # track_instance_changes False: Nova reads uuids alone from its database.
    value = board(
        hosts=dict.fromkeys(HOSTS, MERGING),
        rows={ROW: {}},
        overlaps={(ROW, ROW): 300.0},
    )
    [first] = place(value, spec(), states())
    again = states()
    for each in again:
        if each.host == first:
            each.instances[instance_uuid(900)] = objects.Instance(
                uuid=instance_uuid(900)
            )
            each.free_ram_mb -= 1000
    assert place(value, spec(), again, first=950) == [first]


@pytest.mark.parametrize("kept", ["m0", None], ids=["evacuated", "unshelved"])
def test_a_guest_that_lost_its_host_goes_where_its_last_pages_are(place, kept):
    known = GuestRow(
        uuid=instance_uuid(900), host=kept, row=ROW, best={"m2": 300.0, "m1": 50.0}
    )
    value = board(
        hosts=dict.fromkeys(HOSTS, MERGING), rows={ROW: {"m1": 100.0}}, guests=(known,)
    )
    alive = [each for each in states(m2=5000) if each.host != kept]
    assert place(value, spec(), alive) == ["m2"]


def test_hosts_of_which_the_board_and_nova_know_different_ones_are_placed_on(place):
    value = board(hosts={"gone": MERGING, "m1": MERGING}, rows={ROW: {"gone": 900.0}})
    assert place(value, spec(), states(m2=9000)) == ["m2"]
