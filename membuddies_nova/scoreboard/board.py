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
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from membuddies_nova import exceptions
from membuddies_nova.cluster import Guest, KsmState, Scope

NONE = -1
"""In an index or a size: there is none, or it is not known."""

_KSM_STATES = (KsmState.UNKNOWN, KsmState.OFF, KsmState.MANAGED, KsmState.MERGING)
_UUID = np.dtype("V16")

ARRAYS = (
    ("host_ksm", np.dtype("u1"), "hosts"),
    ("host_available_mb", np.dtype("<i4"), "hosts"),
    ("row_key", np.dtype("<i4"), "rows"),
    ("row_profile", np.dtype("<i4"), "rows"),
    ("row_end", np.dtype("<i4"), "rows"),
    ("entry_host", np.dtype("<i4"), "entries"),
    ("entry_mb", np.dtype("<f4"), "entries"),
    ("overlap_end", np.dtype("<i4"), "rows"),
    ("overlap_row", np.dtype("<i4"), "overlaps"),
    ("overlap_mb", np.dtype("<f4"), "overlaps"),
    ("guest_uuid", _UUID, "guests"),
    ("guest_host", np.dtype("<i4"), "guests"),
    ("guest_key", np.dtype("<i4"), "guests"),
    ("guest_row", np.dtype("<i4"), "guests"),
    ("guest_memory_mb", np.dtype("<i4"), "guests"),
    ("guest_pending", np.dtype("u1"), "guests"),
    ("guest_end", np.dtype("<i4"), "guests"),
    ("best_host", np.dtype("<i4"), "best"),
    ("best_mb", np.dtype("<f4"), "best"),
)
"""Name, type, and which count is the length of each array of a board."""

Array = npt.NDArray[Any]


def profile_chain(guest: Guest) -> tuple[str, ...]:
    """The profiles that could stand for a guest, the most telling first."""
    chain = []
    if guest.image:
        chain.append(f"image:{guest.image}")
    if guest.os_distro and guest.flavor:
        chain.append(f"os:{guest.os_distro}/{guest.flavor}")
    chain.append(f"project:{guest.project or ''}")
    # Image properties and flavor names are free text; the board's is by lines.
    return tuple(name.replace("\n", " ") for name in chain)


@dataclasses.dataclass(frozen=True, slots=True)
class HostLine:
    """What the board says of a host.

    :ivar available_mb: MemAvailable by its newest report, None if unknown
    """

    ksm: KsmState
    available_mb: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class GuestLine:
    """What the board says of a guest.

    :ivar host: where Nova placed it, None if nowhere
    :ivar key: its trust scope's key
    :ivar row: row of the profile that stands for it, None if there is none
    :ivar pending: booked lately, without a fingerprint: its memory is neither
        in its host's entries nor gone from its host's available memory
    :ivar index: where it stands among the guests
    """

    host: str | None
    key: str
    row: int | None
    memory_mb: int
    pending: bool
    index: int


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

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together.

        :raises MessageError: and names the array
        """
        counts = self.counts()
        for name, dtype, count in ARRAYS:
            array = getattr(self, name)
            if array.dtype != dtype or array.shape != (counts[count],):
                raise exceptions.MessageError(name, f"is no {dtype} x {counts[count]}")
        for name, limit, least in (
            ("host_ksm", len(_KSM_STATES), 0),
            ("row_key", len(self.keys), 0),
            ("row_profile", len(self.profiles), 0),
            ("entry_host", len(self.hosts), 0),
            ("overlap_row", counts["rows"], 0),
            ("guest_host", len(self.hosts), NONE),
            ("guest_key", len(self.keys), 0),
            ("guest_row", counts["rows"], NONE),
            ("guest_pending", 2, 0),
            ("best_host", len(self.hosts), 0),
            ("host_available_mb", 2**31, NONE),
            ("guest_memory_mb", 2**31, 0),
        ):
            array = getattr(self, name)
            if len(array) and not least <= int(array.min()) <= int(array.max()) < limit:
                raise exceptions.MessageError(name, f"is not within {least}..{limit}")
        for name in ("entry_mb", "overlap_mb", "best_mb"):
            array = getattr(self, name)
            if not np.all(np.isfinite(array) & (array >= 0)):
                raise exceptions.MessageError(name, "has a size that cannot be")
        for name, entries in (
            ("row_end", "entries"),
            ("overlap_end", "overlaps"),
            ("guest_end", "best"),
        ):
            ends = np.concatenate(([0], getattr(self, name), [counts[entries]]))
            if np.any(np.diff(ends) < 0) or ends[-1] != ends[-2]:
                raise exceptions.MessageError(name, "does not ascend to the end")
        for name in ("hosts", "keys", "profiles"):
            names = getattr(self, name)
            if len(set(names)) != len(names) or any("\n" in text for text in names):
                raise exceptions.MessageError(name, "has a name twice or of two lines")

    @classmethod
    def empty(cls, scope: Scope = Scope.PROJECT) -> Self:
        """A board that knows nobody."""
        arrays = {name: np.zeros(0, dtype) for name, dtype, _ in ARRAYS}
        return cls(scope=scope, hosts=(), keys=(), profiles=(), **arrays)

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
        )

    def settled(self, host: str) -> frozenset[str]:
        """Uuids of the guests that the host's entries already speak of."""
        return self._settled.get(host, frozenset())

    def pending(self, host: str) -> frozenset[str]:
        """Uuids of the guests that were booked on the host lately."""
        return self._pending.get(host, frozenset())

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

    def counts(self) -> dict[str, int]:
        """How many there are of each kind, by the names that ``ARRAYS`` uses."""
        return {
            "hosts": len(self.hosts),
            "keys": len(self.keys),
            "profiles": len(self.profiles),
            "rows": len(self.row_key),
            "entries": len(self.entry_host),
            "overlaps": len(self.overlap_row),
            "guests": len(self.guest_uuid),
            "best": len(self.best_host),
        }

    def prepared(self) -> Self:
        """Itself, with its look-up tables made, so that no request waits."""
        for table in (
            "_host_lines",
            "_row_index",
            "_guest_index",
            "_settled",
            "_pending",
        ):
            getattr(self, table)
        return self

    def _by_host(self, hosts: Array, sizes_mb: Array) -> dict[str, float]:
        names = (self.hosts[host] for host in hosts.tolist())
        return dict(zip(names, sizes_mb.tolist(), strict=True))

    @functools.cached_property
    def _host_lines(self) -> dict[str, HostLine]:
        return {
            name: HostLine(
                ksm=_KSM_STATES[state],
                available_mb=None if available_mb == NONE else available_mb,
            )
            for name, state, available_mb in zip(
                self.hosts,
                self.host_ksm.tolist(),
                self.host_available_mb.tolist(),
                strict=True,
            )
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
        return {
            str(uuid.UUID(bytes=item.tobytes())): index
            for index, item in enumerate(self.guest_uuid)
        }

    @functools.cached_property
    def _settled(self) -> dict[str, frozenset[str]]:
        return self._uuids_by_host(pending=0)

    @functools.cached_property
    def _pending(self) -> dict[str, frozenset[str]]:
        return self._uuids_by_host(pending=1)

    def _uuids_by_host(self, pending: int) -> dict[str, frozenset[str]]:
        found: dict[str, list[str]] = {}
        hosts, flags = self.guest_host.tolist(), self.guest_pending.tolist()
        for instance, index in self._guest_index.items():
            if hosts[index] != NONE and flags[index] == pending:
                found.setdefault(self.hosts[hosts[index]], []).append(instance)
        return {host: frozenset(uuids) for host, uuids in found.items()}


def ksm_code(state: KsmState) -> int:
    """How the board writes a KSM state."""
    return _KSM_STATES.index(state)


def _slice(ends: Array, index: int) -> slice:
    """Where the entries are that belong to an index."""
    return slice(int(ends[index - 1]) if index else 0, int(ends[index]))
