# SPDX-License-Identifier: Apache-2.0
"""What a scoreboard is made of: lists of names and parallel arrays of numbers.

The one table that the value, its checks and its bytes follow. A column that was
added later than version 1's first ones is optional: a board from an older
controller lacks it, and its readers know nothing of what it would say.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from membuddies_nova import exceptions

NONE = -1
"""In an index or a size: there is none, or it is not known."""

KSM_STATES = 4

Array = npt.NDArray[Any]

_U1 = np.dtype("u1")
_I4 = np.dtype("<i4")
_F4 = np.dtype("<f4")
_UUID = np.dtype("V16")


@dataclasses.dataclass(frozen=True, slots=True)
class Names:
    """A list of names.

    :ivar optional: absent from the boards of older controllers
    """

    name: str
    optional: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """An array.

    :ivar count: of which kind there are as many as it has elements
    :ivar least: what an index or number is at least, None for anything else
    :ivar below: what it is less than; a kind's name stands for how many there are
    :ivar ends: of an array that says where entries end: their kind
    :ivar optional: absent from the boards of older controllers
    """

    name: str
    dtype: np.dtype[Any]
    count: str
    least: int | None = None
    below: int | str = 2**31
    ends: str | None = None
    optional: bool = False


NAMES = (
    Names("hosts"),
    Names("keys"),
    Names("profiles"),
    Names("projects", optional=True),
    Names("groups", optional=True),
    Names("words", optional=True),
)

COLUMNS = (
    Column("host_ksm", _U1, "hosts", 0, KSM_STATES),
    Column("host_available_mb", _I4, "hosts", NONE),
    Column("row_key", _I4, "rows", 0, "keys"),
    Column("row_profile", _I4, "rows", 0, "profiles"),
    Column("row_end", _I4, "rows", ends="entries"),
    Column("entry_host", _I4, "entries", 0, "hosts"),
    Column("entry_mb", _F4, "entries"),
    Column("overlap_end", _I4, "rows", ends="overlaps"),
    Column("overlap_row", _I4, "overlaps", 0, "rows"),
    Column("overlap_mb", _F4, "overlaps"),
    Column("guest_uuid", _UUID, "guests"),
    Column("guest_host", _I4, "guests", NONE, "hosts"),
    Column("guest_key", _I4, "guests", 0, "keys"),
    Column("guest_row", _I4, "guests", NONE, "rows"),
    Column("guest_memory_mb", _I4, "guests", 0),
    Column("guest_pending", _U1, "guests", 0, 2),
    Column("guest_end", _I4, "guests", ends="best"),
    Column("best_host", _I4, "best", 0, "hosts"),
    Column("best_mb", _F4, "best"),
    Column("host_sharing_mb", _I4, "hosts", NONE, optional=True),
    Column("host_pressure_percent", _I4, "hosts", NONE, optional=True),
    Column("host_swap_in", _I4, "hosts", NONE, optional=True),
    Column("host_group", _I4, "hosts", NONE, "groups", optional=True),
    Column("guest_project", _I4, "guests", NONE, "projects", optional=True),
    Column("guest_group", _I4, "guests", NONE, "groups", optional=True),
    Column("guest_profile", _I4, "guests", NONE, "profiles", optional=True),
    Column("image_id", _UUID, "images", optional=True),
    Column("image_distro", _I4, "images", NONE, "words", optional=True),
    Column("image_version", _I4, "images", NONE, "words", optional=True),
    Column("image_base", _UUID, "images", optional=True),
)
"""In the order in which they are written."""


def counts(names: Mapping[str, Sequence[str]], arrays: Mapping[str, Array]) -> Any:
    """How many there are of each kind: names, or elements of its first array."""
    found = {name: len(each) for name, each in names.items()}
    for column in COLUMNS:
        if column.name in arrays:
            found.setdefault(column.count, len(arrays[column.name]))
    return found


def completed(
    names: Mapping[str, Sequence[str]], arrays: Mapping[str, Array]
) -> tuple[dict[str, tuple[str, ...]], dict[str, Array]]:
    """The same with what an older controller left out: nothing is known of it.

    :raises MessageError: if something is missing that every board has
    """
    all_names = {}
    for each in NAMES:
        if each.name not in names and not each.optional:
            raise exceptions.MessageError(each.name, "is missing")
        all_names[each.name] = tuple(names.get(each.name, ()))
    all_arrays = dict(arrays)
    sizes = counts(all_names, arrays)
    for column in COLUMNS:
        if column.name in arrays:
            continue
        if not column.optional:
            raise exceptions.MessageError(column.name, "is missing")
        size = sizes.get(column.count, 0)
        all_arrays[column.name] = (
            np.full(size, NONE, column.dtype)
            if column.dtype == _I4
            else np.zeros(size, column.dtype)
        )
    return all_names, all_arrays


def check(names: Mapping[str, Sequence[str]], arrays: Mapping[str, Array]) -> None:
    """Refuse names and arrays that do not fit together.

    :raises MessageError: and names the column
    """
    sizes = counts(names, arrays)
    for column in COLUMNS:
        array = arrays[column.name]
        if array.dtype != column.dtype or array.shape != (sizes[column.count],):
            raise exceptions.MessageError(
                column.name, f"is no {column.dtype} x {sizes[column.count]}"
            )
    for column in COLUMNS:
        _check_values(column, arrays[column.name], sizes)
    for name, each in names.items():
        if len(set(each)) != len(each) or any("\n" in text for text in each):
            raise exceptions.MessageError(name, "has a name twice or of two lines")


def _check_values(column: Column, array: Array, sizes: Mapping[str, int]) -> None:
    if column.ends is not None:
        ends = np.concatenate(([0], array, [sizes[column.ends]]))
        if np.any(np.diff(ends) < 0) or ends[-1] != ends[-2]:
            raise exceptions.MessageError(column.name, "does not ascend to the end")
    elif column.least is not None:
        below = sizes[column.below] if isinstance(column.below, str) else column.below
        if len(array) and not (
            column.least <= int(array.min()) and int(array.max()) < below
        ):
            raise exceptions.MessageError(
                column.name, f"is not within {column.least}..{below}"
            )
    elif column.dtype == _F4 and not np.all(np.isfinite(array) & (array >= 0)):
        raise exceptions.MessageError(column.name, "has a size that cannot be")
