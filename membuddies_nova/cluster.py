# SPDX-License-Identifier: Apache-2.0
"""Guests and hosts as Nova, Placement and the agents describe them.

These values are what the inventory reader writes, the database keeps, and the
sharing model and the planner compute with. They hold facts only: no rule, no
estimate, no I/O.
"""

import dataclasses
import enum
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

TRUST_GROUP_KEY = "membuddies:trust_group"
"""In a flavor's extra specs: the trust group of its guests. In an aggregate's
metadata: only guests of this group may arrive on its hosts."""

KSM_FREE_KEY = "membuddies:ksm_free"
"""In an aggregate's metadata, true: the operator keeps KSM off on its hosts."""


class Scope(enum.StrEnum):
    """How far sharing counts in a decision (the vocabulary of TPS salting)."""

    PROJECT = "project"
    GROUP = "group"
    GLOBAL = "global"


class KsmState(enum.StrEnum):
    """What a host's KSM does with mergeable pages.

    ``MANAGED``: not running now, but ksmtuned or MOM may switch it on.
    ``OFF``: run is 0 or 2, nobody manages it, and nothing is merged any more.
    ``UNKNOWN``: unreadable, or run is 0, unmanaged, and pages are still merged.
    """

    MERGING = "merging"
    MANAGED = "managed"
    OFF = "off"
    UNKNOWN = "unknown"

    @property
    def promises_merging(self) -> bool:
        """Whether guests that arrive on the host can expect to be merged."""
        return self in (KsmState.MERGING, KsmState.MANAGED)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServerGroup:
    """A Nova server group: its policy and, for anti-affinity, its rules."""

    name: str
    policy: str
    max_server_per_host: int = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """A host aggregate with its metadata."""

    name: str
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One Nova compute service's host.

    :ivar name: the service's host, as Nova spells it
    :ivar memory_mb: Placement's MEMORY_MB total
    :ivar vcpus: Placement's VCPU total, None for no limit
    :ivar disk_gb: Placement's DISK_GB total, None for no limit
    :ivar reserved_mb: memory that Placement keeps from guests
    :ivar overhead_mb: QEMU's own memory, for each guest
    :ivar pressure: PSI memory "some" avg60 as a fraction, None if unknown
    :ivar trust_group: if set, only guests of this group may arrive
    :ivar ksm_free: whether the operator declares that KSM is kept off there
    :ivar up: whether the compute service is alive
    :ivar ksm: what KSM does there, by the newest report
    :ivar cpu_traits: Placement's traits of its CPUs (``HW_CPU_...``), None if unknown
    :ivar numa_nodes: nodes between which KSM does not merge, 1 where it does
    :ivar available_mb: MemAvailable of the newest report, None if unknown
    :ivar sharing_mb: KSM's pages_sharing of the newest report, rounded up
    :ivar swap_in_pages_per_second: of the newest report
    """

    name: str
    memory_mb: int
    reserved_mb: int = 0
    ram_allocation_ratio: float = 1.0
    vcpus: int | None = None
    reserved_vcpus: int = 0
    cpu_allocation_ratio: float = 1.0
    disk_gb: int | None = None
    reserved_disk_gb: int = 0
    disk_allocation_ratio: float = 1.0
    overhead_mb: int = 0
    zone: str | None = None
    cell: str | None = None
    aggregates: tuple[Aggregate, ...] = ()
    enabled: bool = True
    up: bool = True
    hypervisor_hostname: str | None = None
    hypervisor_type: str | None = None
    hypervisor_version: int | None = None
    cpu_traits: tuple[str, ...] | None = None
    pressure: float | None = None
    trust_group: str | None = None
    ksm_free: bool = False
    ksm: KsmState = KsmState.MERGING
    numa_nodes: int = 1
    available_mb: int | None = None
    sharing_mb: int | None = None
    swap_in_pages_per_second: float | None = None

    @property
    def merged_fraction(self) -> float:
        """The part of what guests share here that KSM can be counted on to merge.

        Nothing where KSM is off. Where it does not merge across NUMA nodes, two
        holders of a page meet on one of n nodes with probability 1 / n; more
        holders merge more than that.
        """
        return 0.0 if self.ksm is KsmState.OFF else 1.0 / self.numa_nodes

    @property
    def real_memory_mb(self) -> int:
        """Memory that the guests' frames may fill, in MB."""
        return self.memory_mb - self.reserved_mb

    @property
    def may_merge(self) -> bool:
        """Whether guests there share merged pages, or may at any time.

        Not so only where the operator says so and the agent confirms it.
        """
        return not (self.ksm_free and self.ksm is KsmState.OFF)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A Glance image, as far as its guests' memory goes.

    :ivar base: id of the image whose guest it is a snapshot of
    """

    id: str
    os_distro: str | None = None
    os_version: str | None = None
    base: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """One Nova instance as memory.

    :ivar uuid: the instance's uuid (offline: the name in the scenario)
    :ivar host: where Nova says that it runs, None while it is not placed
    :ivar memory_mb: the flavor's memory
    :ivar image: image id; for a volume-booted guest the volume's image
    :ivar base_image: of which the image is a snapshot, None if it is none
    :ivar status: Nova's server status, such as ``ACTIVE``
    :ivar pinned_zone: zone that the user asked for (not the host's zone alone)
    :ivar hints: scheduler hints it was booted with, values joined by commas
    :ivar other_host: where Placement counts it besides its host: the destination
        of a migration under way, or the source of a resize not confirmed yet; it need
        not be in the inventory
    :ivar pinned_memory: whether a passed-through device pins its memory, as the
        agent of its host sees
    :ivar left_hosts: hosts that earlier plans took it from, and how many seconds ago
    :ivar refused_seconds: since Nova refused to move it, None if its last move was
        not refused
    :ivar movable: whether the operator or the tenant lets it be moved
    :ivar age_seconds: since it was launched, None if unknown
    :ivar last_moved_seconds: since its last migration, None if never
    :ivar change_fraction_per_hour: how often a stable page of it changes in an hour,
        on average, as the agent of its host sees; a small one is the part of its
        pages that changes. None if unknown
    """

    uuid: str
    name: str
    memory_mb: int
    vcpus: int = 1
    disk_gb: int = 0
    host: str | None = None
    cell: str | None = None
    project: str | None = None
    image: str | None = None
    base_image: str | None = None
    os_distro: str | None = None
    os_version: str | None = None
    flavor: str | None = None
    status: str = "ACTIVE"
    task_state: str | None = None
    power_state: int | None = None
    locked: bool = False
    migrating: bool = False
    group: ServerGroup | None = None
    pinned_zone: str | None = None
    other_host: str | None = None
    pinned_memory: bool = False
    left_hosts: Mapping[str, float] = dataclasses.field(default_factory=dict)
    refused_seconds: float | None = None
    hints: Mapping[str, str] = dataclasses.field(default_factory=dict)
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)
    extra_specs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    trust_group: str | None = None
    movable: bool = True
    age_seconds: float | None = None
    last_moved_seconds: float | None = None
    change_fraction_per_hour: float | None = None

    @property
    def has_memory(self) -> bool:
        """Whether it has pages on its host, which its fingerprint speaks of.

        Nova's power states (nova/objects/fields.py): 4 is shut down, 6 crashed, 7
        suspended to disk. Unless Nova says one of these, it has.
        """
        return self.power_state not in (4, 6, 7)

    def hinted_guests(self, hint: str) -> frozenset[str]:
        """The guests that a hint such as ``different_host`` names."""
        named = self.hints.get(hint)
        return frozenset(filter(None, named.split(","))) if named else frozenset()

    def scope_key(self, scope: Scope) -> str:
        """The name of the trust scope within which its sharing counts.

        A guest without a trust group falls back to its project, and guests
        without a project form one project.
        """
        if scope is Scope.GLOBAL:
            return "global"
        return trust_key(
            self.project, self.trust_group if scope is Scope.GROUP else None
        )

    @property
    def trust_key(self) -> str:
        """With whom it may share merged pages; see :func:`trust_key`."""
        return trust_key(self.project, self.trust_group)


def trust_key(project: str | None, trust_group: str | None) -> str:
    """Name of a guest's trust group if its flavor has one, else of its project.

    Guests of different names must be kept apart where KSM merges, whatever scope
    decisions count sharing in.
    """
    if trust_group is not None:
        return f"group:{trust_group}"
    return f"project:{project or ''}"


MOVABLE_KEY = "membuddies:movable"
_NO = frozenset({"false", "no", "off", "0", "f", "n"})
_YES = frozenset({"true", "yes", "on", "1", "t", "y"})


class Described(Protocol):
    """An aggregate: ours, or Nova's own object."""

    @property
    def metadata(self) -> Mapping[str, str]: ...


def told_by(aggregates: Iterable[Described], key: str) -> str | None:
    """What a host's aggregates say of a key; contradictions fit nobody."""
    words = {
        aggregate.metadata[key] for aggregate in aggregates if key in aggregate.metadata
    }
    return " and ".join(sorted(words)) or None


def declared_ksm_free(aggregates: Iterable[Described]) -> bool:
    """Whether a host's aggregates say, with one voice, that KSM is kept off."""
    word = told_by(aggregates, KSM_FREE_KEY) or ""
    return word.strip().lower() in _YES


def may_move(
    *,
    project: str | None,
    excluded_projects: Collection[str],
    metadata: Mapping[str, str],
    extra_specs: Mapping[str, str],
    host_aggregates: Collection[Aggregate],
) -> bool:
    """Whether operator and tenant let a guest be moved (``Guest.movable``).

    Any of them can say no, by the key ``membuddies:movable`` set to false in
    the instance's metadata, the flavor's extra specs or the metadata of an
    aggregate of its host, or by its project's place on a list. Nobody's yes
    overrides another's no.

    :param excluded_projects: ids of the projects whose guests stay
    :param host_aggregates: the aggregates of the host that it runs on
    """
    if project is not None and project in excluded_projects:
        return False
    words = (
        metadata.get(MOVABLE_KEY, ""),
        extra_specs.get(MOVABLE_KEY, ""),
        *(aggregate.metadata.get(MOVABLE_KEY, "") for aggregate in host_aggregates),
    )
    return not any(word.strip().lower() in _NO for word in words)
