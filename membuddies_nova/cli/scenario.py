# SPDX-License-Identifier: Apache-2.0
"""Scenarios: a cluster described in a JSON file beside its guests' page lists.

Whatever is wrong is told in one line that names the file and the field; facts
of life, such as a host that is overfull, are left to the planner.
"""

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from membuddies_nova import exceptions
from membuddies_nova.cli import page_list, progress
from membuddies_nova.cluster import Guest, Host, ServerGroup
from membuddies_nova.fingerprint.sample import Sample
from membuddies_nova.model.snapshot import ClusterSnapshot

MAX_EXACT_IDS = 20_000_000
"""Page lists of more ids together than this are sampled unless told otherwise."""

_MAX_MB = 2**40
_MAX_COUNT = 2**31
_MAX_RATIO = 1000.0
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
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise exceptions.InputError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise exceptions.InputError(f"{path}: is not UTF-8 text") from None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise exceptions.InputError(
            f"{path}: line {error.lineno}: no JSON: {error.msg}"
        ) from None
    except (RecursionError, ValueError):
        raise exceptions.InputError(f"{path}: no JSON that makes sense") from None

    top = _Fields(path, "", value)
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


def _host(entry: "_Fields") -> Host:
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


def _guest(entry: "_Fields") -> Guest:
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


def _group(entry: "_Fields") -> ServerGroup | None:
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
    guests: Sequence[Guest], entries: Sequence["_Fields"], hosts: set[str]
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


class _Fields:
    """An object of the file, read field by field."""

    def __init__(self, file: pathlib.Path, path: str, value: object) -> None:
        self._file = file
        self._path = path
        if not isinstance(value, dict):
            raise exceptions.InputError(
                f"{file}: {path or 'the top level'}: must be an object"
            )
        self._value: dict[str, Any] = value

    def wrong(self, name: str, problem: str) -> NoReturn:
        field = f"{self._path}.{name}" if self._path else name
        raise exceptions.InputError(f"{self._file}: {field}: {problem}")

    def text(self, name: str) -> str:
        value = self._given(name)
        if not isinstance(value, str) or not value.isprintable() or not value:
            self.wrong(name, "must be a printable text that is not empty")
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self._value.get(name) is None else self.text(name)

    def flag(self, name: str, default: bool) -> bool:
        value = self._value.get(name, default)
        if not isinstance(value, bool):
            self.wrong(name, "must be true or false")
        return value

    def whole(
        self, name: str, minimum: int, maximum: int, default: int | None = None
    ) -> int:
        if default is not None and name not in self._value:
            return default
        value = self._given(name)
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or not minimum <= value <= maximum
        ):
            self.wrong(name, f"must be a whole number from {minimum} to {maximum}")
        return value

    def optional_whole(self, name: str, minimum: int, maximum: int) -> int | None:
        if self._value.get(name) is None:
            return None
        return self.whole(name, minimum, maximum)

    def optional_number(
        self, name: str, minimum: float, maximum: float
    ) -> float | None:
        value = self._value.get(name)
        if value is None:
            return None
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not minimum <= value <= maximum
        ):
            self.wrong(name, f"must be a number from {minimum:g} to {maximum:g}")
        return float(value)

    def ratio(self, name: str) -> float:
        value = self.optional_number(name, 0.0, _MAX_RATIO)
        if value == 0.0:
            self.wrong(name, "must be above 0")
        return 1.0 if value is None else value

    def optional_fields(self, name: str) -> "_Fields | None":
        value = self._value.get(name)
        if value is None:
            return None
        return _Fields(
            self._file, f"{self._path}.{name}" if self._path else name, value
        )

    def entries(self, name: str) -> list["_Fields"]:
        value = self._given(name)
        if not isinstance(value, list):
            self.wrong(name, "must be a list")
        return [
            _Fields(self._file, f"{name}[{at}]", entry)
            for at, entry in enumerate(value)
        ]

    def distinct(self, name: str, values: Sequence[str]) -> None:
        """Refuse a name that an entry before has already."""
        seen: set[str] = set()
        for at, value in enumerate(values):
            if value in seen:
                self.wrong(f"{name}[{at}].name", f"{value!r} is given twice")
            seen.add(value)

    def _given(self, name: str) -> Any:
        if name not in self._value:
            self.wrong(name, "is missing")
        return self._value[name]
