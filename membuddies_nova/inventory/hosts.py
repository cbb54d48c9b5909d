# SPDX-License-Identifier: Apache-2.0
"""Hosts, made of what Nova and Placement answered. Pure: JSON in, values out.

The metadata of a host's aggregates may carry four keys of ours:

``membuddies:trust_group``
    only guests of this group may arrive. Two aggregates of one host that name
    different groups let no guest arrive.
``membuddies:ksm_free``
    ``true``: the operator keeps KSM off there, so that guests of several trust
    scopes may stand beside each other. Believed where the agent confirms it.
``membuddies:cell``
    the host's cell. Nova's API does not tell cells, and refuses a live migration
    from one to another; on a cloud with several, name them to spare the attempt.
``membuddies:movable``
    ``false``: guests that run here are not moved (read by :mod:`guests`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from membuddies_nova.cluster import (
    TRUST_GROUP_KEY,
    Aggregate,
    Host,
    declared_ksm_free,
    told_by,
)
from membuddies_nova.inventory.cloud import InventoryError, Json
from membuddies_nova.inventory.providers import Provider

CELL_KEY = "membuddies:cell"

_NONE: Mapping[str, Any] = {"total": 0, "reserved": 0, "allocation_ratio": 1.0}


def require_all_cells(services: Iterable[Json]) -> None:
    """Refuse a list of services that a cell does not answer for (since 2.69).

    Nova leaves the guests of such a cell out of its lists without a word.

    :raises InventoryError: and names one of its hosts
    """
    for service in services:
        if service["status"] == "UNKNOWN":
            raise InventoryError(
                f"Nova: the cell of host {service['host']} does not answer"
            )


def hosts_of(
    services: Iterable[Json],
    hypervisors: Iterable[Json],
    aggregates: Iterable[Json],
    providers: Mapping[str, Provider],
    overhead_mb: int,
) -> list[Host]:
    """The hosts that run guests, one for each compute service.

    A service with several hypervisors (Ironic's) runs no guests of ours.

    :param providers: Placement's, by hypervisor id; a host that has no inventories
        there can take no guest
    """
    nodes = defaultdict(list)
    for hypervisor in hypervisors:
        nodes[hypervisor["service"]["host"]].append(hypervisor)
    joined = aggregates_by_host(aggregates)
    found = []
    for service in services:
        name = service["host"]
        if len(nodes[name]) == 1:
            node = nodes[name][0]
            provider = providers.get(node["id"], Provider())
            found.append(
                _host(service, node, joined.get(name, ()), provider, overhead_mb)
            )
    return found


def aggregates_by_host(aggregates: Iterable[Json]) -> dict[str, tuple[Aggregate, ...]]:
    """Which aggregates each host is in, by name."""
    found = defaultdict(list)
    for record in sorted(aggregates, key=lambda record: str(record["name"])):
        aggregate = Aggregate(name=record["name"], metadata=dict(record["metadata"]))
        for host in record["hosts"]:
            found[host].append(aggregate)
    return {host: tuple(joined) for host, joined in found.items()}


def _host(
    service: Json,
    hypervisor: Json,
    aggregates: tuple[Aggregate, ...],
    provider: Provider,
    overhead_mb: int,
) -> Host:
    inventory = provider.inventories
    memory = inventory.get("MEMORY_MB", _NONE)
    cpus = inventory.get("VCPU", _NONE)
    disk = inventory.get("DISK_GB", _NONE)
    return Host(
        name=service["host"],
        memory_mb=memory["total"],
        reserved_mb=memory["reserved"],
        ram_allocation_ratio=memory["allocation_ratio"],
        vcpus=cpus["total"] if cpus is not _NONE else None,
        reserved_vcpus=cpus["reserved"],
        cpu_allocation_ratio=cpus["allocation_ratio"],
        disk_gb=disk["total"] if disk is not _NONE else None,
        reserved_disk_gb=disk["reserved"],
        disk_allocation_ratio=disk["allocation_ratio"],
        overhead_mb=overhead_mb,
        zone=service["zone"],
        cell=told_by(aggregates, CELL_KEY),
        aggregates=aggregates,
        enabled=service["status"] == "enabled",
        up=service["state"] == "up",
        hypervisor_hostname=hypervisor["hypervisor_hostname"],
        hypervisor_type=hypervisor["hypervisor_type"],
        hypervisor_version=hypervisor["hypervisor_version"],
        cpu_traits=provider.cpu_traits,
        trust_group=told_by(aggregates, TRUST_GROUP_KEY),
        ksm_free=declared_ksm_free(aggregates),
    )
