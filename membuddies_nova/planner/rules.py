# SPDX-License-Identifier: Apache-2.0
"""The hard rules: each can stop a move, and says why in one sentence.

A rule's name is what an operator reads in a plan and in an explanation. Rules
of a guest and of a pair of guest and host are facts of the snapshot; rules of
the situation depend on the moves made before and in the same wave. No rule
weighs: a move that passes them all is allowed, not recommended.
"""

import abc
import dataclasses
from typing import ClassVar, Self

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.planner.situation import Situation


class Rule(abc.ABC):
    """One reason for which a move may be forbidden."""

    name: ClassVar[str]

    @abc.abstractmethod
    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        """Why the guest may not move to the host, None if it may."""


class OptedOut(Rule):
    """The operator or the tenant does not let the guest be moved."""

    name = "opted-out"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        return None if guest.movable else "it is opted out of being moved"


class Locked(Rule):
    name = "locked"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        return "it is locked" if guest.locked else None


class NotActive(Rule):
    """Nova live-migrates only what runs."""

    name = "not-active"
    _RUNNING: ClassVar[int] = 1

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if guest.status != "ACTIVE":
            return f"its status is {guest.status}, not ACTIVE"
        if guest.power_state not in (None, self._RUNNING):
            return f"its power state is {guest.power_state}, not running"
        return None


class Busy(Rule):
    name = "busy"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if guest.task_state is not None:
            return f"it is busy: task state {guest.task_state}"
        return None


class Migrating(Rule):
    name = "migrating"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        return "it is migrating already" if guest.migrating else None


class Cooldown(Rule):
    """A guest that was just moved stays for a while."""

    name = "cooldown"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        limit = situation.limits.cooldown_seconds
        if guest.last_moved_seconds is None or guest.last_moved_seconds >= limit:
            return None
        return (
            f"it was moved {guest.last_moved_seconds:.0f} s ago and stays for "
            f"{limit:.0f} s"
        )


class SourceDown(Rule):
    """Nothing can migrate off a host whose compute service is down."""

    name = "source-down"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        source = _source(guest, situation)
        if source is None or source.up:
            return None
        return f"the compute service of its host {source.name} is down"


class HostDisabled(Rule):
    name = "host-disabled"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        return None if host.enabled else f"{host.name} is disabled"


class HostDown(Rule):
    name = "host-down"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        return None if host.up else f"the compute service of {host.name} is down"


class Ksm(Rule):
    """A host that does not merge saves nothing."""

    name = "ksm"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if host.ksm.promises_merging:
            return None
        return f"KSM is {host.ksm.value} on {host.name}"


class Isolation(Rule):
    """A host with a trust group takes only that group's guests."""

    name = "isolation"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if host.trust_group in (None, guest.trust_group):
            return None
        return f"{host.name} takes only guests of trust group {host.trust_group}"


class Cell(Rule):
    """Live migration cannot cross a cell's border."""

    name = "cell"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if guest.cell is None or host.cell in (None, guest.cell):
            return None
        return f"{host.name} is in cell {host.cell}, the guest in {guest.cell}"


class PinnedZone(Rule):
    """A zone that the user asked for; the zone a host happens to be in is none."""

    name = "pinned-zone"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if guest.pinned_zone in (None, host.zone):
            return None
        return f"it was asked for in zone {guest.pinned_zone}, {host.name} is elsewhere"


class Hypervisor(Rule):
    """Nova refuses another hypervisor, and one older than the source's."""

    name = "hypervisor"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        source = _source(guest, situation)
        if source is None:
            return None
        if None not in (source.hypervisor_type, host.hypervisor_type) and (
            source.hypervisor_type != host.hypervisor_type
        ):
            return (
                f"{host.name} runs {host.hypervisor_type}, its host "
                f"{source.hypervisor_type}"
            )
        if (
            source.hypervisor_version is not None
            and host.hypervisor_version is not None
            and host.hypervisor_version < source.hypervisor_version
        ):
            return f"the hypervisor of {host.name} is older than its host's"
        return None


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


class Affinity(Rule):
    """Members of the group stay together on one host."""

    name = "affinity"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if not _has_policy(guest, "affinity"):
            return None
        if all(hosts == {host.name} for hosts in situation.group_hosts(guest)):
            return None
        return f"its server group {_group(guest)} stays together on one host"


class AntiAffinity(Rule):
    """No more members on one host than the group's rules allow."""

    name = "anti-affinity"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if guest.group is None or guest.group.policy != "anti-affinity":
            return None
        members = sum(host.name in hosts for hosts in situation.group_hosts(guest))
        if members < guest.group.max_server_per_host:
            return None
        return f"{host.name} has {members} of its server group {_group(guest)} already"


class SoftAffinity(Rule):
    """A move never parts a guest from more members than it joins."""

    name = "soft-affinity"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        source = situation.occupancy.host_of(guest.uuid)
        if source is None or not _has_policy(guest, "soft-affinity"):
            return None
        hosts = situation.group_hosts(guest)
        there = sum(each == {host.name} for each in hosts)
        here = sum(source in each for each in hosts)
        if there >= here:
            return None
        return f"it would leave members of its server group {_group(guest)}"


class SoftAntiAffinity(Rule):
    """A move never joins a guest to more members than it parts from."""

    name = "soft-anti-affinity"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        source = situation.occupancy.host_of(guest.uuid)
        if source is None or not _has_policy(guest, "soft-anti-affinity"):
            return None
        hosts = situation.group_hosts(guest)
        there = sum(host.name in each for each in hosts)
        here = sum(each == {source} for each in hosts)
        if there <= here:
            return None
        return f"it would join members of its server group {_group(guest)}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RuleBook:
    """The rules of a plan, by what they depend on.

    :ivar guest: on the guest alone, whatever the destination; a guest that is
        placed for the first time is not asked
    :ivar pair: on guest and destination
    :ivar situation: on other moves, too
    """

    guest: tuple[Rule, ...]
    pair: tuple[Rule, ...]
    situation: tuple[Rule, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(rule.name for rule in (*self.guest, *self.pair, *self.situation))

    @property
    def without_guest_rules(self) -> tuple[str, ...]:
        """The names of the rules for a guest that is placed first."""
        return tuple(rule.name for rule in (*self.pair, *self.situation))

    def without(self, name: str) -> Self:
        """The same book with one rule struck out."""
        return dataclasses.replace(
            self,
            **{
                part: tuple(rule for rule in getattr(self, part) if rule.name != name)
                for part in ("guest", "pair", "situation")
            },
        )


RULES = RuleBook(
    guest=(
        OptedOut(),
        Locked(),
        NotActive(),
        Busy(),
        Migrating(),
        Cooldown(),
        SourceDown(),
    ),
    pair=(
        HostDisabled(),
        HostDown(),
        Ksm(),
        Isolation(),
        Cell(),
        PinnedZone(),
        Hypervisor(),
    ),
    situation=(
        MovesPerHost(),
        PlacementMemory(),
        PlacementVcpu(),
        PlacementDisk(),
        Affinity(),
        AntiAffinity(),
        SoftAffinity(),
        SoftAntiAffinity(),
        AvailableMemory(),
        Headroom(),
    ),
)


def _source(guest: Guest, situation: Situation) -> Host | None:
    if guest.host is None:
        return None
    return situation.snapshot.hosts_by_name[guest.host]


def _has_policy(guest: Guest, policy: str) -> bool:
    return guest.group is not None and guest.group.policy == policy


def _group(guest: Guest) -> str:
    return guest.group.name if guest.group is not None else ""
