# SPDX-License-Identifier: Apache-2.0
"""Scores of hosts for one request, on real RequestSpecs and HostStates."""

import pytest

from membuddies_nova.cluster import KsmState, Scope
from membuddies_nova.scheduler.recent import RecentRequests
from membuddies_nova.scheduler.score import RequestScorer
from tests.unit.scheduler.requests import IMAGE, instance_uuid, objects, spec, state
from tests.unit.scoreboard.boards import GuestRow, board

ROW = ("project:p1", f"image:{IMAGE}")
OS_ROW = ("project:p1", "os:debian/m1.small")
PROJECT_ROW = ("project:p1", "project:p1")
HOSTS = {"m0": (KsmState.MERGING, 8000), "m1": (KsmState.MERGING, 8000)}


def score(value, request, host_state, *others):
    states = (host_state, *others)
    return RequestScorer(value, RecentRequests(), request, states).score(host_state)


def board_with(guest, overlap_mb=300.0):
    """Kin that share 250 MB are on m0; a guest shares ``overlap_mb`` with its like."""
    return board(
        hosts=HOSTS,
        rows={ROW: {"m0": 250.0}},
        overlaps={(ROW, ROW): overlap_mb},
        guests=(guest,),
    )


def test_the_score_is_the_expected_share_of_the_flavors_memory():
    value = board(hosts=HOSTS, rows={ROW: {"m0": 250.0}})
    assert score(value, spec(memory_mb=1000), state("m0")) == 0.25
    assert score(value, spec(memory_mb=500), state("m0")) == 0.5
    assert score(value, spec(memory_mb=1000), state("m1")) == 0.0


def test_the_score_is_never_more_than_one():
    value = board(hosts=HOSTS, rows={ROW: {"m0": 250.0}})
    assert score(value, spec(memory_mb=128), state("m0")) == 1.0


def test_an_unknown_image_is_scored_by_os_and_flavor_then_by_project():
    rows = {ROW: {"m0": 1.0}, OS_ROW: {"m0": 200.0}, PROJECT_ROW: {"m0": 100.0}}
    value = board(hosts=HOSTS, rows=rows)
    new = {"image": instance_uuid(5)}
    assert score(value, spec(distro="debian", **new), state("m0")) == 0.2
    assert score(value, spec(distro="plan9", **new), state("m0")) == 0.1
    assert score(value, spec(image=None, distro="debian"), state("m0")) == 0.2


def test_the_release_that_novas_request_leaves_out_comes_from_the_board():
    release = ("project:p1", "os:debian 12/m1.small")
    rows = {release: {"m0": 200.0}, OS_ROW: {"m0": 100.0}, PROJECT_ROW: {}}
    image = instance_uuid(5)
    value = board(hosts=HOSTS, rows=rows, images={image: ("debian", "12", None)})
    assert score(value, spec(image=image, distro="debian"), state("m0")) == 0.2
    assert score(value, spec(image=image), state("m0")) == 0.2
    other = spec(image=instance_uuid(6), distro="debian")
    assert score(value, other, state("m0")) == 0.1


def test_a_snapshot_is_scored_by_the_image_that_it_was_made_of():
    snapshot = instance_uuid(5)
    value = board(
        hosts=HOSTS,
        rows={ROW: {"m0": 250.0}, PROJECT_ROW: {"m0": 10.0}},
        images={snapshot: (None, None, IMAGE)},
    )
    assert score(value, spec(image=snapshot), state("m0")) == 0.25


def test_another_projects_kin_score_exactly_zero():
    value = board(hosts=HOSTS, rows={ROW: {"m0": 250.0}})
    assert score(value, spec(project="p2"), state("m0")) == 0.0


def test_guests_of_one_trust_group_share_across_projects():
    rows = {("group:blue", f"image:{IMAGE}"): {"m0": 250.0}}
    value = board(hosts=HOSTS, rows=rows, scope=Scope.GROUP)
    blue = {"membuddies:trust_group": "blue"}
    assert score(value, spec(project="p2", extra_specs=blue), state("m0")) == 0.25
    assert score(value, spec(project="p2"), state("m0")) == 0.0


@pytest.mark.parametrize(
    ("ksm", "expected"),
    [
        (KsmState.MERGING, 0.25),
        (KsmState.MANAGED, 0.25),
        (KsmState.OFF, 0.0),
        (KsmState.UNKNOWN, 0.0),
    ],
)
def test_only_hosts_whose_ksm_promises_merging_score(ksm, expected):
    value = board(hosts={"m0": (ksm, 8000)}, rows={ROW: {"m0": 250.0}})
    assert score(value, spec(), state("m0")) == expected


@pytest.mark.parametrize(
    ("available_mb", "expected"), [(1000, 0.25), (999, 0.0), (-1, 0.0)]
)
def test_a_host_that_cannot_take_the_guest_unshared_scores_zero(available_mb, expected):
    value = board(
        hosts={"m0": (KsmState.MERGING, available_mb)}, rows={ROW: {"m0": 250.0}}
    )
    assert score(value, spec(memory_mb=1000), state("m0")) == expected


def test_a_host_that_the_board_does_not_know_scores_zero():
    value = board(hosts=HOSTS, rows={ROW: {"m0": 250.0}})
    assert score(value, spec(), state("brand-new")) == 0.0


def test_a_guest_booked_and_not_yet_fingerprinted_counts_with_its_profile():
    booked = GuestRow(
        uuid=instance_uuid(1), host="m1", row=ROW, memory_mb=1000, pending=True
    )
    value = board_with(booked)
    assert score(value, spec(), state("m1", instances=[1])) == 0.3
    # Nova may not have told the scheduler of it yet.
    assert score(value, spec(), state("m1")) == 0.3


def test_a_booked_guests_memory_is_gone_before_the_host_shows_it():
    booked = GuestRow(
        uuid=instance_uuid(1), host="m0", row=ROW, memory_mb=1000, pending=True
    )
    value = board(
        hosts={"m0": (KsmState.MERGING, 1999)},
        rows={ROW: {"m0": 250.0}},
        guests=(booked,),
    )
    assert score(value, spec(memory_mb=1000), state("m0")) == 0.0
    assert score(value, spec(memory_mb=999), state("m0")) > 0.0


def test_a_settled_guest_is_not_counted_twice():
    settled = GuestRow(uuid=instance_uuid(1), host="m0", row=ROW, memory_mb=8000)
    value = board_with(settled, overlap_mb=900.0)
    assert score(value, spec(), state("m0", instances=[1])) == 0.25


def test_a_guest_that_moved_counts_where_nova_has_it_now():
    moved = GuestRow(uuid=instance_uuid(1), host="m0", row=ROW)
    value = board_with(moved)
    left = state("m0")
    assert score(value, spec(), state("m1", instances=[1])) == 0.3
    assert score(value, spec(), state("m1", instances=[1]), left) == 0.3


def test_a_guest_that_nova_counts_on_two_hosts_is_where_the_board_has_it():
    """Nova's scheduler has not heard yet that it left the other one."""
    guest = GuestRow(uuid=instance_uuid(1), host="m0", row=ROW, memory_mb=7500)
    value = board_with(guest)
    here, there = (state(host, instances=[1]) for host in ("m0", "m1"))
    assert score(value, spec(memory_mb=1000), there, here) == 0.0
    assert score(value, spec(memory_mb=1000), here, there) == 0.25


def test_a_booked_guest_of_another_project_counts_as_memory_only():
    foreign = GuestRow(
        uuid=instance_uuid(1),
        host="m1",
        key="project:p2",
        row=("project:p2", f"image:{IMAGE}"),
        pending=True,
        memory_mb=7500,
    )
    foreign_row = ("project:p2", f"image:{IMAGE}")
    value = board(
        hosts=HOSTS,
        rows={ROW: {"m1": 100.0}, foreign_row: {}},
        overlaps={(ROW, ROW): 300.0, (foreign_row, foreign_row): 300.0},
        guests=(foreign,),
    )
    assert score(value, spec(memory_mb=500), state("m1", instances=[1])) == 0.2
    assert score(value, spec(memory_mb=501), state("m1", instances=[1])) == 0.0


def test_an_instance_newer_than_the_board_counts_by_what_nova_tells_of_it():
    value = board(hosts=HOSTS, rows={ROW: {"m0": 250.0}}, overlaps={(ROW, ROW): 300.0})
    host = state("m1")
    told = objects.Instance(
        uuid=instance_uuid(1), image_ref=IMAGE, project_id="p1", memory_mb=7200
    )
    host.instances[told.uuid] = told
    assert score(value, spec(memory_mb=800), host) == 0.375
    assert score(value, spec(memory_mb=801), host) == 0.0


def test_a_stub_that_tells_nothing_promises_nothing():
    value = board(hosts=HOSTS, rows={ROW: {"m0": 250.0}}, overlaps={(ROW, ROW): 300.0})
    assert score(value, spec(), state("m1", instances=[1])) == 0.0


def test_guests_of_one_request_are_kin_of_each_other():
    value = board(hosts=HOSTS, rows={ROW: {}}, overlaps={(ROW, ROW): 300.0})
    request, host = spec(), state("m0", instances=[1])
    assert score(value, request, host) == 0.0
    host.consume_from_request(request)
    assert score(value, request, host) == 0.3


def test_a_group_member_that_nova_counts_already_takes_memory_once():
    value = board(hosts={"m0": (KsmState.MERGING, 2000)}, rows={ROW: {"m0": 250.0}})
    request, host = spec(memory_mb=1000), state("m0")
    assert score(value, request, host) == 0.25
    # Of a server group Nova adds whom it has just booked.
    host.consume_from_request(request)
    host.instances[request.instance_uuid] = objects.Instance(uuid=request.instance_uuid)
    request.instance_uuid = instance_uuid(98)
    assert score(value, request, host) == 0.25


def test_a_stub_is_known_by_the_request_that_booked_it():
    value = board(hosts=HOSTS, rows={ROW: {"m0": 250.0}}, overlaps={(ROW, ROW): 300.0})
    memory = RecentRequests()
    RequestScorer(value, memory, spec(number=1, memory_mb=7200), [])
    host = state("m1", instances=[1])
    for memory_mb, expected in ((800, 0.375), (801, 0.0)):
        scorer = RequestScorer(value, memory, spec(memory_mb=memory_mb), [host])
        assert scorer.score(host) == expected


def test_guests_of_one_request_take_memory_from_each_other():
    value = board(hosts={"m0": (KsmState.MERGING, 2000)}, rows={ROW: {"m0": 250.0}})
    request, host = spec(memory_mb=1000), state("m0")
    for expected in (0.25, 0.25, 0.0):
        assert score(value, request, host) == expected
        host.consume_from_request(request)


@pytest.fixture
def of_a_new_image():
    """A board that knows two images, and a third one's guest as just booked."""
    old = [("project:p1", f"image:{instance_uuid(number)}") for number in (20, 21)]
    booked = GuestRow(
        uuid=instance_uuid(1),
        host="m1",
        row=PROJECT_ROW,
        pending=True,
        profile=f"image:{IMAGE}",
    )
    return board(
        hosts=HOSTS,
        rows={key: {} for key in [*old, PROJECT_ROW]},
        overlaps={
            (old[0], old[0]): 100.0,
            (old[1], old[1]): 300.0,
            (PROJECT_ROW, PROJECT_ROW): 50.0,
        },
        guests=(booked,),
    )


def test_guests_of_one_request_of_a_new_image_are_kin_all_the_same(of_a_new_image):
    request, host = spec(), state("m0")
    assert score(of_a_new_image, request, host) == 0.0
    host.consume_from_request(request)
    assert score(of_a_new_image, request, host) == 0.2


def test_a_guest_of_the_same_new_image_that_was_booked_before_is_kin(of_a_new_image):
    assert score(of_a_new_image, spec(), state("m1", instances=[1])) == 0.2
    # Of another new image it is known only that its project is the same.
    other = spec(image=instance_uuid(30))
    assert score(of_a_new_image, other, state("m1", instances=[1])) == 0.05


def test_an_instance_newer_than_the_board_of_the_same_new_image_is_kin(of_a_new_image):
    told = objects.Instance(
        uuid=instance_uuid(2), image_ref=IMAGE, project_id="p1", memory_mb=100
    )
    foreign = objects.Instance(
        uuid=instance_uuid(2), image_ref=IMAGE, project_id="p2", memory_mb=100
    )
    for instance, expected in ((told, 0.2), (foreign, 0.0)):
        host = state("m0")
        host.instances[instance.uuid] = instance
        assert score(of_a_new_image, spec(), host) == expected


def test_a_shelved_guest_is_scored_by_its_last_fingerprint():
    shelved = GuestRow(uuid=instance_uuid(99), row=ROW, best={"m1": 400.0})
    value = board(hosts=HOSTS, rows={ROW: {"m0": 250.0}}, guests=(shelved,))
    assert score(value, spec(), state("m1")) == 0.4
    assert score(value, spec(), state("m0")) == 0.0


def test_another_projects_guest_of_the_same_uuid_is_not_believed():
    # Nova's cells may hold a uuid twice.
    double = GuestRow(uuid=instance_uuid(99), key="project:p2", best={"m1": 400.0})
    value = board(hosts=HOSTS, rows={ROW: {"m0": 250.0}}, guests=(double,))
    assert score(value, spec(), state("m1")) == 0.0
    assert score(value, spec(), state("m0")) == 0.25


def test_a_guest_that_moves_is_scored_by_its_own_fingerprint():
    moving = GuestRow(
        uuid=instance_uuid(99), host="m0", row=ROW, best={"m1": 400.0, "m0": 20.0}
    )
    value = board(hosts=HOSTS, rows={ROW: {"m0": 250.0}}, guests=(moving,))
    assert score(value, spec(), state("m1")) == 0.4
    assert score(value, spec(), state("m0", instances=[99])) == 0.02


def test_a_guest_that_moves_without_a_fingerprint_is_scored_by_its_profile():
    moving = GuestRow(uuid=instance_uuid(99), host="m1", row=ROW, pending=True)
    value = board(
        hosts=HOSTS,
        rows={ROW: {"m0": 250.0}},
        overlaps={(ROW, ROW): 300.0},
        guests=(moving,),
    )
    volume_booted = spec(image=None)
    assert score(value, volume_booted, state("m0")) == 0.25
    assert score(value, volume_booted, state("m1", instances=[99])) == 0.0


def test_a_guest_that_vanished_from_nova_counts_no_more():
    gone = GuestRow(uuid=instance_uuid(1), host="m0", row=ROW, memory_mb=8000)
    value = board(hosts=HOSTS, rows={ROW: {"m0": 250.0}}, guests=(gone,))
    assert score(value, spec(), state("m0")) == 0.25


@pytest.mark.parametrize("nonsense", ["", "\n\x00", "x" * 10_000, "image:i1"])
def test_nonsense_in_properties_and_extra_specs_is_an_unknown_profile(nonsense):
    value = board(hosts=HOSTS, rows={PROJECT_ROW: {"m0": 250.0}}, scope=Scope.GROUP)
    request = spec(
        image=instance_uuid(5), distro=nonsense, extra_specs={"hw:numa": nonsense}
    )
    assert score(value, request, state("m0")) == 0.25
    grouped = spec(extra_specs={"membuddies:trust_group": nonsense})
    assert score(value, grouped, state("m0")) == 0.0


def test_a_request_without_a_flavor_scores_zero():
    value = board(hosts=HOSTS, rows={PROJECT_ROW: {"m0": 250.0}})
    assert score(value, objects.RequestSpec(project_id="p1"), state("m0")) == 0.0
