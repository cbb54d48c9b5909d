# SPDX-License-Identifier: Apache-2.0
"""Where Nova's own filters and weighers place guests, with ours among them."""

import datetime
import itertools

import pytest
from nova import context as nova_context
from nova.scheduler import manager as scheduler_manager

from membuddies_nova.cluster import KsmState
from tests.unit.scheduler.requests import IMAGE, instance_uuid, objects, spec
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
CELL = instance_uuid(0)


class Cloud:
    """Three hosts before Nova's HostManager; its database is a dictionary.

    :ivar booked: uuids of the instances that Nova's database has on each host
    """

    def __init__(self, manager, boards):
        self.manager = manager
        self.booked = {host: [] for host in HOSTS}
        self._boards = boards

    def states(self, hosts=HOSTS, **free_ram_mb):
        """What Nova makes of them at each request."""
        nodes = [compute_node(host, free_ram_mb.get(host, 8000)) for host in hosts]
        found = self.manager._get_host_states(
            nova_context.get_admin_context(),
            {CELL: nodes},
            {host: service(host) for host in hosts},
        )
        return sorted(found, key=lambda state: state.host)

    def place(self, value, request, states, guests=1, first=900):
        """Books a request's guests as Nova's scheduler does; returns their hosts."""
        self._boards.hold(value)
        hosts = []
        for number in range(guests):
            request.instance_uuid = instance_uuid(first + number)
            passed = self.manager.get_filtered_hosts(states, request, number)
            weighed = self.manager.get_weighed_hosts(passed, request)
            chosen = weighed[0].obj
            scheduler_manager.SchedulerManager._consume_selected_host(
                chosen, request, request.instance_uuid
            )
            hosts.append(chosen.host)
        return hosts


@pytest.fixture
def tracking():
    """Whether computes announce their instances."""
    return True


@pytest.fixture
def cloud(nova_conf, host_manager, boards, memory, monkeypatch, tracking):
    nova_conf.config(
        weight_classes=WEIGHERS,
        track_instance_changes=tracking,
        group="filter_scheduler",
    )
    manager = host_manager(novas=nova_conf.conf.filter_scheduler.enabled_filters)
    found = Cloud(manager, boards)
    monkeypatch.setattr(
        manager,
        "_get_instances_by_host",
        lambda context, host: {
            uuid: objects.Instance(context, uuid=uuid) for uuid in found.booked[host]
        },
    )
    return found


def compute_node(host, free_ram_mb):
    """As nova-compute's resource tracker writes it."""
    return objects.ComputeNode(
        uuid=instance_uuid(500 + HOSTS.index(host)),
        host=host,
        hypervisor_hostname=host,
        hypervisor_type="QEMU",
        hypervisor_version=7002000,
        host_ip="127.0.0.1",
        memory_mb=8192,
        free_ram_mb=free_ram_mb,
        vcpus=16,
        vcpus_used=0,
        local_gb=100,
        local_gb_used=0,
        free_disk_gb=100,
        disk_available_least=100,
        cpu_info="",
        supported_hv_specs=[],
        pci_device_pools=None,
        numa_topology=None,
        metrics=None,
        stats={},
        updated_at=None,
        cpu_allocation_ratio=4.0,
        ram_allocation_ratio=1.0,
        disk_allocation_ratio=1.0,
    )


def service(host):
    now = datetime.datetime.now(datetime.UTC)
    return objects.Service(
        host=host,
        binary="nova-compute",
        topic="compute",
        disabled=False,
        forced_down=False,
        report_count=1,
        last_seen_up=now,
        created_at=now,
        updated_at=now,
    )


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


def test_ten_guests_of_a_new_image_are_placed_together(cloud):
    hosts = cloud.place(new_image(), spec(memory_mb=600), cloud.states(), guests=10)
    assert len(set(hosts)) == 1


def test_what_does_not_fit_unshared_goes_elsewhere(cloud):
    hosts = cloud.place(new_image(), spec(memory_mb=2000), cloud.states(), guests=10)
    # Of 8000 MB each, four fit; each next host is filled in turn.
    assert [len(list(run)) for _, run in itertools.groupby(hosts)][:2] == [4, 4]


def test_anti_affinity_is_kept_against_all_kin(cloud):
    request = spec(memory_mb=600)
    request.instance_group = group("anti-affinity")
    assert sorted(cloud.place(new_image(), request, cloud.states(), guests=3)) == list(
        HOSTS
    )


def test_affinity_is_kept_where_kin_are_elsewhere(cloud):
    value = board(hosts=dict.fromkeys(HOSTS, MERGING), rows={ROW: {"m0": 300.0}})
    request = spec(memory_mb=600)
    request.instance_group = group("affinity")
    request.instance_group.hosts = ["m2"]
    assert cloud.place(value, request, cloud.states(), guests=3) == ["m2"] * 3


@pytest.mark.parametrize("ksm", [KsmState.OFF, KsmState.UNKNOWN])
def test_kin_on_a_host_that_does_not_merge_draw_nobody(cloud, ksm):
    # UNKNOWN is also run=0 with pages that are still merged.
    value = board(
        hosts={**dict.fromkeys(HOSTS, MERGING), "m0": (ksm, 8000)},
        rows={ROW: {"m0": 300.0, "m1": 100.0}},
    )
    assert cloud.place(value, spec(), cloud.states(m1=6000)) == ["m1"]


def test_two_projects_booted_at_once_do_not_draw_each_other(cloud):
    value = board(
        hosts=dict.fromkeys(HOSTS, MERGING),
        rows={ROW: {"m0": 300.0}, OTHER: {"m2": 300.0}},
        overlaps={(ROW, ROW): 300.0, (OTHER, OTHER): 300.0},
    )
    shared = cloud.states()
    for _ in range(3):
        assert cloud.place(value, spec(project="p1"), shared) == ["m0"]
        assert cloud.place(value, spec(project="p2"), shared) == ["m2"]


@pytest.mark.parametrize("tracking", [True, False])
def test_bookings_that_the_board_does_not_know_are_known_by_their_requests(
    cloud, tracking
):
    # Without tracking Nova reads uuids alone from its database, at each request.
    value = board(
        hosts=dict.fromkeys(HOSTS, MERGING),
        rows={ROW: {}},
        overlaps={(ROW, ROW): 300.0},
    )
    assert cloud.manager.track_instance_changes is tracking
    [first] = cloud.place(value, spec(), cloud.states())
    cloud.booked[first].append(instance_uuid(900))
    again = cloud.states(**{first: 7000})
    assert [len(each.instances) for each in again if each.host == first] == [1]
    assert cloud.place(value, spec(), again, first=950) == [first]


def test_what_a_compute_host_announces_draws_its_kin(cloud):
    value = board(
        hosts=dict.fromkeys(HOSTS, MERGING),
        rows={ROW: {}},
        overlaps={(ROW, ROW): 300.0},
    )
    # Of a request that another scheduler has placed.
    told = objects.Instance(
        uuid=instance_uuid(800), image_ref=IMAGE, project_id="p1", memory_mb=1000
    )
    context = nova_context.get_admin_context()
    cloud.manager._recreate_instance_info(context, "m2")
    cloud.manager.update_instance_info(
        context, "m2", objects.InstanceList(objects=[told])
    )
    assert cloud.place(value, spec(), cloud.states(m2=7000)) == ["m2"]


@pytest.mark.parametrize("kept", ["m0", None], ids=["evacuated", "unshelved"])
def test_a_guest_that_lost_its_host_goes_where_its_last_pages_are(cloud, kept):
    known = GuestRow(
        uuid=instance_uuid(900), host=kept, row=ROW, best={"m2": 300.0, "m1": 50.0}
    )
    value = board(
        hosts=dict.fromkeys(HOSTS, MERGING), rows={ROW: {"m1": 100.0}}, guests=(known,)
    )
    alive = cloud.states([host for host in HOSTS if host != kept], m2=5000)
    assert cloud.place(value, spec(), alive) == ["m2"]


def test_hosts_of_which_the_board_and_nova_know_different_ones_are_placed_on(cloud):
    value = board(hosts={"gone": MERGING, "m1": MERGING}, rows={ROW: {"gone": 900.0}})
    assert cloud.place(value, spec(), cloud.states(m2=9000)) == ["m2"]
