# SPDX-License-Identifier: Apache-2.0
"""Scenarios: a cluster described in a JSON file beside its guests' page lists.

Whatever is wrong is told in one line that names the file and the field; facts
of life, such as a host that is overfull, are left to the planner.
"""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence

from membuddies_nova.cli import page_list, progress
from membuddies_nova.cli.fields import Fields
from membuddies_nova.cluster import Guest, Host, ServerGroup
from membuddies_nova.fingerprint.sample import Sample
from membuddies_nova.model.snapshot import ClusterSnapshot

MAX_EXACT_IDS = 20_000_000
"""Page lists of more ids together than this are sampled unless told otherwise."""

_MAX_MB = 2**40
_MAX_COUNT = 2**31
_MAX_SECONDS = 2.0**40
_POLICIES = ("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity")


@dataclasses.dataclass(frozen=True, slots=True)
class Scenario:
    """What a scenario file says, its page lists not read yet.

    :ivar fingerprints: the guests' files, by guest name
    """

    hosts: tuple[Host, ...]
    guests: tuple[Guest, ...]
    fingerprints: Mapping[str, pathlib.Path]

    def snapshot(self, shift: int | None, zero_id: int | None) -> ClusterSnapshot:
        """Read the guests' files.

        :param shift: None for the finest that keeps the memory in bounds
        :raises InputError: for a file that holds no guest's pages
        """
        chosen = self.smallest_shift() if shift is None else shift
        by_path: dict[pathlib.Path, Sample] = {}
        paths = list(dict.fromkeys(self.fingerprints.values()))
        for path in progress.shown(paths, "reading guests"):
            by_path[path] = page_list.read_sample(path, chosen, zero_id)
        page_list.check_together({str(path): each for path, each in by_path.items()})
        return ClusterSnapshot(
            hosts=self.hosts,
            guests=self.guests,
            samples={name: by_path[path] for name, path in self.fingerprints.items()},
        )

    def smallest_shift(self) -> int:
        """The shift that keeps at most ``MAX_EXACT_IDS`` of the page lists' ids."""
        lists = [
            path
            for path in self.fingerprints.values()
            if not page_list.is_fingerprint(path)
        ]
        ids = sum(map(page_list.page_count, lists))
        return max(math.ceil(math.log2(ids / MAX_EXACT_IDS)), 0) if ids else 0


def read_scenario(path: pathlib.Path) -> Scenario:
    """Read and check a scenario file.

    :raises InputError: naming the file and the field
    """
    top = Fields.of_file(path)
    if top.whole("format", 0, _MAX_COUNT) != 1:
        top.wrong("format", "only format 1 is known")
    hosts = tuple(_host(entry) for entry in top.entries("hosts"))
    top.distinct("hosts", [host.name for host in hosts])
    entries = top.entries("guests")
    guests = tuple(_guest(entry) for entry in entries)
    top.distinct("guests", [guest.name for guest in guests])
    _check_guests(guests, entries, {host.name for host in hosts})
    return Scenario(
        hosts=hosts,
        guests=guests,
        fingerprints={
            guest.name: path.parent / entry.text("fingerprint")
            for guest, entry in zip(guests, entries, strict=True)
        },
    )


def _host(entry: Fields) -> Host:
    host = Host(
        name=entry.text("name"),
        memory_mb=entry.whole("memory_mb", 1, _MAX_MB),
        reserved_mb=entry.whole("reserved_mb", 0, _MAX_MB, default=0),
        ram_allocation_ratio=entry.ratio("ram_allocation_ratio"),
        vcpus=entry.optional_whole("vcpus", 0, _MAX_COUNT),
        cpu_allocation_ratio=entry.ratio("cpu_allocation_ratio"),
        disk_gb=entry.optional_whole("disk_gb", 0, _MAX_MB),
        overhead_mb=entry.whole("overhead_mb", 0, _MAX_MB, default=0),
        zone=entry.optional_text("zone"),
        enabled=entry.flag("enabled", default=True),
        pressure=entry.optional_number("pressure", 0.0, 1.0),
        trust_group=entry.optional_text("trust_group"),
    )
    if host.reserved_mb > host.memory_mb:
        entry.wrong("reserved_mb", f"is more than memory_mb, {host.memory_mb}")
    return host


def _guest(entry: Fields) -> Guest:
    name = entry.text("name")
    return Guest(
        uuid=name,
        name=name,
        memory_mb=entry.whole("memory_mb", 1, _MAX_MB),
        vcpus=entry.whole("vcpus", 0, _MAX_COUNT, default=1),
        disk_gb=entry.whole("disk_gb", 0, _MAX_MB, default=0),
        host=entry.optional_text("host"),
        project=entry.optional_text("project"),
        image=entry.optional_text("image"),
        group=_group(entry),
        movable=entry.flag("movable", default=True),
        age_seconds=entry.optional_number("age_seconds", 0.0, _MAX_SECONDS),
        last_moved_seconds=entry.optional_number(
            "last_moved_seconds", 0.0, _MAX_SECONDS
        ),
        change_fraction_per_hour=entry.optional_number(
            "change_fraction_per_hour", 0.0, _MAX_SECONDS
        ),
        trust_group=entry.optional_text("trust_group"),
    )


def _group(entry: Fields) -> ServerGroup | None:
    group = entry.optional_fields("group")
    if group is None:
        return None
    policy = group.text("policy")
    if policy not in _POLICIES:
        group.wrong("policy", f"{policy!r} is none of {', '.join(_POLICIES)}")
    rules = group.optional_fields("rules")
    limit = 1
    if rules is not None:
        limit = rules.whole("max_server_per_host", 1, _MAX_COUNT, default=1)
    return ServerGroup(
        name=group.text("name"), policy=policy, max_server_per_host=limit
    )


def _check_guests(
    guests: Sequence[Guest], entries: Sequence[Fields], hosts: set[str]
) -> None:
    """What one guest's entry alone cannot show to be wrong."""
    groups: dict[str, ServerGroup] = {}
    for guest, entry in zip(guests, entries, strict=True):
        if guest.host is not None and guest.host not in hosts:
            entry.wrong("host", f"{guest.host!r} is not among the hosts")
        if guest.group is not None:
            first = groups.setdefault(guest.group.name, guest.group)
            if guest.group != first:
                entry.wrong(
                    "group",
                    f"{first.name!r} has another policy or rule here than in an "
                    f"earlier guest",
                )
