# SPDX-License-Identifier: Apache-2.0
"""What becomes of Nova's and Placement's records of hosts."""

import pytest

from membuddies_nova.cluster import Aggregate
from membuddies_nova.inventory.cloud import InventoryError
from membuddies_nova.inventory.hosts import hosts_of, require_all_cells
from membuddies_nova.inventory.providers import Provider
from tests.unit.inventory import records

INVENTORIES = {
    records.NODE.format(1): {
        "MEMORY_MB": records.inventory(4096, 256, 1.5),
        "VCPU": records.inventory(8, 1, 4.0),
        "DISK_GB": records.inventory(200, 20, 1.0),
    }
}


def host(
    service=None,
    hypervisors=None,
    aggregates=(),
    inventories=INVENTORIES,
    cpu_traits=None,
):
    [found] = hosts_of(
        [service or records.service()],
        hypervisors or [records.hypervisor()],
        aggregates,
        {
            node: Provider(inventories=inventory, cpu_traits=cpu_traits)
            for node, inventory in inventories.items()
        },
        100,
    )
    return found


def test_a_host_has_nova_s_names_and_placement_s_sizes():
    found = host()
    assert found.name == "c1"
    assert found.hypervisor_hostname == "c1.example.org"
    assert found.zone == "nova"
    assert (found.memory_mb, found.reserved_mb) == (4096, 256)
    assert found.ram_allocation_ratio == 1.5
    assert (found.vcpus, found.reserved_vcpus) == (8, 1)
    assert (found.disk_gb, found.reserved_disk_gb) == (200, 20)
    assert found.overhead_mb == 100
    assert found.enabled
    assert found.up


def test_a_host_has_the_processors_that_placement_names():
    assert host(cpu_traits=("HW_CPU_X86_AVX",)).cpu_traits == ("HW_CPU_X86_AVX",)
    assert host().cpu_traits is None


def test_a_host_that_placement_does_not_know_has_no_room():
    assert host(inventories={}).real_memory_mb == 0


def test_a_class_that_placement_does_not_count_is_no_limit():
    memory = {"MEMORY_MB": records.inventory(4096)}
    found = host(inventories={records.NODE.format(1): memory})
    assert found.vcpus is None
    assert found.disk_gb is None


@pytest.mark.parametrize(
    ("changes", "enabled", "up"),
    [
        ({"status": "disabled"}, False, True),
        ({"state": "down"}, True, False),
    ],
)
def test_a_service_that_takes_no_guest_is_shown_as_such(changes, enabled, up):
    found = host(records.service(**changes))
    assert (found.enabled, found.up) == (enabled, up)


def test_a_host_knows_its_aggregates_and_what_they_say():
    found = host(
        aggregates=[
            records.aggregate("rack-2", "c2", **{"membuddies:cell": "cell2"}),
            records.aggregate("rack-1", "c1", "c3", **{"membuddies:cell": "cell1"}),
            records.aggregate("pci-dss", "c1", **{"membuddies:trust_group": "gold"}),
        ]
    )
    assert found.aggregates == (
        Aggregate(name="pci-dss", metadata={"membuddies:trust_group": "gold"}),
        Aggregate(name="rack-1", metadata={"membuddies:cell": "cell1"}),
    )
    assert found.trust_group == "gold"
    assert found.cell == "cell1"


def test_an_aggregate_declares_its_hosts_free_of_ksm():
    free = records.aggregate("quiet", "c1", **{"membuddies:ksm_free": "true"})
    assert host(aggregates=[free]).ksm_free
    assert not host().ksm_free


def test_two_trust_groups_on_one_host_fit_no_guest():
    found = host(
        aggregates=[
            records.aggregate("a", "c1", **{"membuddies:trust_group": "gold"}),
            records.aggregate("b", "c1", **{"membuddies:trust_group": "silver"}),
        ]
    )
    assert found.trust_group not in ("gold", "silver", None)


def test_a_service_of_many_nodes_runs_no_guests_of_ours():
    ironic = [records.hypervisor(1), records.hypervisor(2)]
    assert hosts_of([records.service()], ironic, [], {}, 0) == []


def test_a_cell_that_does_not_answer_is_no_empty_cell():
    silent = {"binary": "nova-compute", "host": "c9", "status": "UNKNOWN"}
    with pytest.raises(InventoryError, match="cell of host c9 does not answer"):
        require_all_cells([records.service(), silent])
