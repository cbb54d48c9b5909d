# SPDX-License-Identifier: Apache-2.0
"""The scoreboard: what a guest without memory could share on each host.

The controller makes one, every nova-scheduler worker holds a copy. It is the
sharing model's answer in a form that a weigher can look up without computing:
for each trust scope and profile the megabytes that a guest of that profile is
expected to share with the guests of each host; for each guest that has a
fingerprint its own best hosts; and what each host's KSM promises.

It holds no page content and no fingerprint. It never expires by itself: whoever
holds a copy knows when it last heard that the copy is the newest.
"""

import dataclasses
import functools
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from membuddies_nova.cluster import Scope
from membuddies_nova.scoreboard import columns
from membuddies_nova.scoreboard.columns import NONE, Array
from membuddies_nova.scoreboard.line import KSM_STATES, GuestLine, HostLine, ImageLine
from membuddies_nova.scoreboard.profile import is_of_image
from membuddies_nova.scoreboard.tenancy import Tenancy

_NO_IMAGE = bytes(16)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Scoreboard:
    """Parallel arrays; a name that ends in ``_end`` counts entries up to there.

    :ivar scope: which trust scope the keys are of
    :ivar hosts: Nova's names of the hosts
    :ivar host_ksm: index of the KSM state of each host
    :ivar host_available_mb: or ``NONE``
    :ivar keys: scope keys, as ``Guest.scope_key`` makes them
    :ivar profiles: names of profiles
    :ivar row_key: a row is the expected sharing of a profile within a key
    :ivar row_end: where the row's entries end; they begin where the last's ended
    :ivar entry_host: a host that holds something of the profile
    :ivar entry_mb: expected megabytes that a new guest would share there
    :ivar overlap_end: where a row's overlaps with rows of the same key end
    :ivar overlap_mb: megabytes that a new guest of either row would share
    :ivar guest_uuid: 16 bytes each
    :ivar guest_row: row that stands for the guest, or ``NONE``
    :ivar guest_pending: 1 for a guest as ``GuestLine.pending`` says
    :ivar best_host: a host that holds much of the guest's own fingerprint,
        counted without the guest itself
    :ivar projects: Nova's ids of projects
    :ivar groups: trust groups that flavors or hosts name
    :ivar words: names and releases of distributions
    :ivar host_sharing_mb: or ``NONE``, like the other facts of hosts
    :ivar guest_profile: the most telling one, or ``NONE``
    :ivar image_id: 16 bytes each
    :ivar image_base: the image that it is a snapshot of, zeros if there is none
    """

    scope: Scope
    hosts: tuple[str, ...]
    host_ksm: Array
    host_available_mb: Array
    keys: tuple[str, ...]
    profiles: tuple[str, ...]
    row_key: Array
    row_profile: Array
    row_end: Array
    entry_host: Array
    entry_mb: Array
    overlap_end: Array
    overlap_row: Array
    overlap_mb: Array
    guest_uuid: Array
    guest_host: Array
    guest_key: Array
    guest_row: Array
    guest_memory_mb: Array
    guest_pending: Array
    guest_end: Array
    best_host: Array
    best_mb: Array
    projects: tuple[str, ...]
    groups: tuple[str, ...]
    words: tuple[str, ...]
    host_sharing_mb: Array
    host_pressure_percent: Array
    host_swap_in: Array
    host_group: Array
    guest_project: Array
    guest_group: Array
    guest_profile: Array
    image_id: Array
    image_distro: Array
    image_version: Array
    image_base: Array

    def __post_init__(self) -> None:
        """Refuse columns that do not fit together.

        :raises MessageError: and names the column
        """
        columns.check(self.names(), self.arrays())

    @classmethod
    def of(
        cls,
        scope: Scope,
        names: Mapping[str, Sequence[str]],
        arrays: Mapping[str, Array],
    ) -> Self:
        """A board of columns, of which the optional ones may be missing.

        :raises MessageError: if they do not fit together
        """
        all_names, all_arrays = columns.completed(names, arrays)
        values: dict[str, Any] = {**all_names, **all_arrays}
        return cls(scope=scope, **values)

    @classmethod
    def empty(cls, scope: Scope = Scope.PROJECT) -> Self:
        """A board that knows nobody."""
        names = {each.name: () for each in columns.NAMES}
        return cls.of(
            scope,
            names,
            {column.name: np.zeros(0, column.dtype) for column in columns.COLUMNS},
        )

    def names(self) -> dict[str, tuple[str, ...]]:
        """Its lists of names, by column."""
        return {each.name: getattr(self, each.name) for each in columns.NAMES}

    def arrays(self) -> dict[str, Array]:
        """Its arrays, by column."""
        return {each.name: getattr(self, each.name) for each in columns.COLUMNS}

    def host(self, name: str) -> HostLine | None:
        """What is known of a host, None if nothing."""
        return self._host_lines.get(name)

    def row(self, key: str, chain: Sequence[str]) -> int | None:
        """The row of the first profile of a chain that the key has one of."""
        for profile in chain:
            row = self._row_index.get((key, profile))
            if row is not None:
                return row
        return None

    def row_name(self, row: int) -> str:
        """Name of a row's profile."""
        return self.profiles[self.row_profile[row]]

    def guest(self, instance: str) -> GuestLine | None:
        """What is known of a guest, None if nothing."""
        index = self._guest_index.get(instance)
        if index is None:
            return None
        host, row = int(self.guest_host[index]), int(self.guest_row[index])
        return GuestLine(
            host=None if host == NONE else self.hosts[host],
            key=self.keys[self.guest_key[index]],
            row=None if row == NONE else row,
            memory_mb=int(self.guest_memory_mb[index]),
            pending=bool(self.guest_pending[index]),
            index=index,
            profile=_named(self.profiles, self.guest_profile[index]),
            project=_named(self.projects, self.guest_project[index]),
            trust_group=_named(self.groups, self.guest_group[index]),
        )

    def image(self, image: str) -> ImageLine | None:
        """What is known of an image, None if nothing."""
        index = self._image_index.get(image)
        if index is None:
            return None
        base = self.image_base[index].tobytes()
        return ImageLine(
            os_distro=_named(self.words, self.image_distro[index]),
            os_version=_named(self.words, self.image_version[index]),
            base_image=None if base == _NO_IMAGE else str(uuid.UUID(bytes=base)),
        )

    def settled(self, host: str) -> frozenset[str]:
        """Uuids of the guests that the host's entries already speak of."""
        return self._settled.get(host, frozenset())

    def pending(self, host: str) -> frozenset[str]:
        """Uuids of the guests that were booked on the host lately."""
        return self._pending.get(host, frozenset())

    def pending_mb(self, host: str) -> int:
        """Memory of the guests that were booked on the host lately."""
        return self._pending_mb.get(host, 0)

    @functools.cached_property
    def tenancy(self) -> Tenancy:
        """The guests by trust key and by host."""
        hosts = [_named(self.hosts, host) for host in self.guest_host.tolist()]
        projects = [_named(self.projects, at) for at in self.guest_project.tolist()]
        groups = [_named(self.groups, at) for at in self.guest_group.tolist()]
        return Tenancy(self._guest_index, hosts, projects, groups)

    def shared_mb(self, row: int) -> dict[str, float]:
        """Expected shared megabytes of a new guest of a row, by host."""
        found = _slice(self.row_end, row)
        return self._by_host(self.entry_host[found], self.entry_mb[found])

    def own_shared_mb(self, guest: GuestLine) -> dict[str, float]:
        """Megabytes that a guest's own pages would share, by its best hosts.

        Empty if the guest has no fingerprint, or shares nothing.
        """
        found = _slice(self.guest_end, guest.index)
        return self._by_host(self.best_host[found], self.best_mb[found])

    def overlaps_mb(self, row: int) -> dict[int, float]:
        """Megabytes shared with one new guest of another row, by that row."""
        found = _slice(self.overlap_end, row)
        others = self.overlap_row[found].tolist()
        return dict(zip(others, self.overlap_mb[found].tolist(), strict=True))

    @functools.cached_property
    def usual_overlap_mb(self) -> float:
        """What two new guests of one image share, in the middle of all images.

        It stands for an image of which no guest is known yet; 0 if none is.
        """
        of_image = np.array([is_of_image(profile) for profile in self.profiles], bool)
        rows = np.arange(len(self.row_key))
        begins = np.diff(self.overlap_end, prepend=0)
        with_itself = self.overlap_row == np.repeat(rows, begins)
        sizes_mb = np.zeros(len(rows))
        sizes_mb[self.overlap_row[with_itself]] = self.overlap_mb[with_itself]
        of_images = sizes_mb[of_image[self.row_profile]] if len(rows) else sizes_mb
        return float(np.median(of_images)) if len(of_images) else 0.0

    def prepared(self) -> Self:
        """Itself, with its look-up tables made, so that no request waits."""
        for table in (
            "_host_lines",
            "_row_index",
            "_guest_index",
            "_image_index",
            "_settled",
            "_pending",
            "_pending_mb",
            "tenancy",
            "usual_overlap_mb",
        ):
            getattr(self, table)
        return self

    def _by_host(self, hosts: Array, sizes_mb: Array) -> dict[str, float]:
        names = (self.hosts[host] for host in hosts.tolist())
        return dict(zip(names, sizes_mb.tolist(), strict=True))

    @functools.cached_property
    def _host_lines(self) -> dict[str, HostLine]:
        lines = zip(
            self.hosts,
            self.host_ksm.tolist(),
            self.host_available_mb.tolist(),
            self.host_sharing_mb.tolist(),
            self.host_pressure_percent.tolist(),
            self.host_swap_in.tolist(),
            self.host_group.tolist(),
            strict=True,
        )
        return {
            name: HostLine(
                ksm=KSM_STATES[state],
                available_mb=_known(available_mb),
                sharing_mb=_known(sharing_mb),
                pressure=None if percent == NONE else percent / 100.0,
                swap_in_pages_per_second=_known(swap_in),
                trust_group=_named(self.groups, group),
            )
            for name, state, available_mb, sharing_mb, percent, swap_in, group in lines
        }

    @functools.cached_property
    def _row_index(self) -> dict[tuple[str, str], int]:
        return {
            (self.keys[key], self.profiles[profile]): row
            for row, (key, profile) in enumerate(
                zip(self.row_key.tolist(), self.row_profile.tolist(), strict=True)
            )
        }

    @functools.cached_property
    def _guest_index(self) -> dict[str, int]:
        return _uuid_index(self.guest_uuid)

    @functools.cached_property
    def _image_index(self) -> dict[str, int]:
        return _uuid_index(self.image_id)

    @functools.cached_property
    def _settled(self) -> dict[str, frozenset[str]]:
        return self._uuids_by_host(pending=0)

    @functools.cached_property
    def _pending(self) -> dict[str, frozenset[str]]:
        return self._uuids_by_host(pending=1)

    @functools.cached_property
    def _pending_mb(self) -> dict[str, int]:
        sizes_mb, index = self.guest_memory_mb, self._guest_index
        return {
            host: sum(int(sizes_mb[index[uuid]]) for uuid in uuids)
            for host, uuids in self._pending.items()
        }

    def _uuids_by_host(self, pending: int) -> dict[str, frozenset[str]]:
        found: dict[str, list[str]] = {}
        hosts, flags = self.guest_host.tolist(), self.guest_pending.tolist()
        for instance, index in self._guest_index.items():
            if hosts[index] != NONE and flags[index] == pending:
                found.setdefault(self.hosts[hosts[index]], []).append(instance)
        return {host: frozenset(uuids) for host, uuids in found.items()}


def _slice(ends: Array, index: int) -> slice:
    """Where the entries are that belong to an index."""
    return slice(int(ends[index - 1]) if index else 0, int(ends[index]))


def _known(number: int) -> int | None:
    return None if number == NONE else number


def _named(names: Sequence[str], index: int) -> str | None:
    return None if index == NONE else names[index]


def _uuid_index(uuids: Array) -> dict[str, int]:
    """Where each uuid stands; of two equal ones the last."""
    text = uuids.tobytes().hex()
    return {
        f"{text[at : at + 8]}-{text[at + 8 : at + 12]}-{text[at + 12 : at + 16]}-"
        f"{text[at + 16 : at + 20]}-{text[at + 20 : at + 32]}": index
        for index, at in enumerate(range(0, len(text), 32))
    }
