# SPDX-License-Identifier: Apache-2.0
"""Rules of what a destination can take besides the moves before and beside.

Placement's inventories, the memory there really is, and the migrations that a
host can carry at a time.
"""

import abc
from typing import ClassVar

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.planner.rules.rule import Rule
from membuddies_nova.planner.situation import Situation


class MovesPerHost(Rule):
    """Migrations of one wave share their hosts' network and memory bandwidth."""

    name = "moves-per-host"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        limit = situation.limits.moves_per_host
        for name in (situation.occupancy.host_of(guest.uuid), host.name):
            if name is not None and situation.moves_of(name) >= limit:
                return f"{name} is part of {limit} moves of this wave already"
        return None


class Headroom(Rule):
    """Real memory: an arrival must fit whole before KSM has merged a page."""

    name = "headroom"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        needed = situation.needed_mb(host, guest)
        if needed <= host.real_memory_mb:
            return None
        return (
            f"{host.name} would need {needed:.0f} MB before it has merged, and has "
            f"{host.real_memory_mb} MB for guests"
        )


class AvailableMemory(Rule):
    """What the host's kernel says is available, where an agent reports it.

    All arrivals of the plan count whole: the report knows none of them.
    """

    name = "available-memory"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if host.available_mb is None:
            return None
        needed = situation.arrived_mb(host) + guest.memory_mb + host.overhead_mb
        if needed <= host.available_mb:
            return None
        return (
            f"{needed} MB would arrive at {host.name}, where {host.available_mb} MB "
            f"are available"
        )


class _Inventory(Rule):
    """An inventory of Placement: (total - reserved) x allocation ratio."""

    unit: ClassVar[str]

    @abc.abstractmethod
    def capacity(self, host: Host) -> float | None:
        """What guests may claim of the host, None for no limit."""

    @abc.abstractmethod
    def claim(self, guest: Guest) -> int:
        """What the guest's flavor claims."""

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        capacity = self.capacity(host)
        if capacity is None:
            return None
        claimed = self.claim(guest) + sum(
            self.claim(other) for other in situation.present_on(host)
        )
        if claimed <= capacity:
            return None
        return (
            f"guests on {host.name} would claim {claimed} {self.unit} in Placement, "
            f"which allows {capacity:.0f}"
        )


class PlacementMemory(_Inventory):
    name = "placement-memory"
    unit = "MB of memory"

    def capacity(self, host: Host) -> float:
        return (host.memory_mb - host.reserved_mb) * host.ram_allocation_ratio

    def claim(self, guest: Guest) -> int:
        return guest.memory_mb


class PlacementVcpu(_Inventory):
    name = "placement-vcpu"
    unit = "VCPUs"

    def capacity(self, host: Host) -> float | None:
        if host.vcpus is None:
            return None
        return (host.vcpus - host.reserved_vcpus) * host.cpu_allocation_ratio

    def claim(self, guest: Guest) -> int:
        return guest.vcpus


class PlacementDisk(_Inventory):
    name = "placement-disk"
    unit = "GB of disk"

    def capacity(self, host: Host) -> float | None:
        if host.disk_gb is None:
            return None
        return (host.disk_gb - host.reserved_disk_gb) * host.disk_allocation_ratio

    def claim(self, guest: Guest) -> int:
        return guest.disk_gb
