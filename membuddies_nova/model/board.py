# SPDX-License-Identifier: Apache-2.0
"""The scoreboard of a snapshot: profiles and facts, written as arrays.

For the controller, which sends it to the schedulers, and for whoever wants to
know offline where a guest would be placed.
"""

import math
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from membuddies_nova.cluster import Guest, Image, Scope
from membuddies_nova.model.profiles import Profiles
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.scoreboard.board import Scoreboard
from membuddies_nova.scoreboard.columns import NONE, Array
from membuddies_nova.scoreboard.line import KSM_STATES
from membuddies_nova.scoreboard.profile import profile_chain

STEP_MB = 64
"""Sizes of a host are rounded to this, available memory down and merged memory
up, so that a busy host's next few pages do not make a new board."""

SHARE_STEP_MB = 0.25
"""Expected sharing is rounded to this, as are profiles' overlaps: numbers of few
digits take less room on the wire, and what they leave out decides nothing."""


def board_of(
    snapshot: ClusterSnapshot,
    profiles: Profiles,
    scope: Scope,
    *,
    pending: Collection[str] = (),
    images: Iterable[Image] = (),
) -> Scoreboard:
    """Write one board; see :meth:`BoardWriter.write`."""
    writer = BoardWriter(scope)
    return writer.write(snapshot, profiles, pending=pending, images=images)


class BoardWriter:
    """Writes boards, one after another.

    What a board tells of guests whatever their fingerprints say is kept for the
    next one, as long as the guests are the same.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._guests: tuple[Guest, ...] | None = None
        self._grounds: object = None
        self._columns: Mapping[str, Any] = {}

    def write(
        self,
        snapshot: ClusterSnapshot,
        profiles: Profiles,
        *,
        pending: Collection[str] = (),
        images: Iterable[Image] = (),
    ) -> Scoreboard:
        """Write a board.

        :param profiles: learned from the same hosts and guests, in the same order
        :param pending: uuids of guests that were booked lately and that neither a
            fingerprint nor their host's available memory shows yet
        :param images: those whose guests' distribution or base Nova's requests
            leave out; one whose id is no uuid is passed over
        """
        guests, hosts = snapshot.guests, snapshot.hosts
        grounds = (profiles.rows, [(host.name, host.trust_group) for host in hosts])
        if guests is not self._guests or grounds != self._grounds:
            self._columns = _named_columns(snapshot, profiles, self._scope)
            self._guests, self._grounds = guests, grounds
        return Scoreboard(
            scope=self._scope,
            host_ksm=_u1([KSM_STATES.index(host.ksm) for host in hosts]),
            host_available_mb=_i4([_down(host.available_mb) for host in hosts]),
            host_sharing_mb=_i4([_up(host.sharing_mb) for host in hosts]),
            host_pressure_percent=_i4([_percent(host.pressure) for host in hosts]),
            host_swap_in=_i4([_whole(host.swap_in_pages_per_second) for host in hosts]),
            row_end=_i4(profiles.expected_mb.indptr[1:]),
            entry_host=_i4(profiles.expected_mb.indices),
            entry_mb=_share(profiles.expected_mb.data),
            overlap_end=_i4(profiles.overlap_mb.indptr[1:]),
            overlap_row=_i4(profiles.overlap_mb.indices),
            overlap_mb=_share(profiles.overlap_mb.data),
            guest_pending=_u1([guest.uuid in pending for guest in guests]),
            guest_end=_i4(profiles.own_mb.indptr[1:]),
            best_host=_i4(profiles.own_mb.indices),
            best_mb=_share(profiles.own_mb.data),
            **self._columns,
            **_image_columns(images),
        )


def _named_columns(
    snapshot: ClusterSnapshot, profiles: Profiles, scope: Scope
) -> dict[str, Any]:
    """Names, and who is called by which."""
    guests, hosts = snapshot.guests, snapshot.hosts
    chains = [profile_chain(guest) for guest in guests]
    guest_keys = [guest.scope_key(scope) for guest in guests]
    row_index = {row: number for number, row in enumerate(profiles.rows)}
    host_index = _index(host.name for host in hosts)
    keys = _names(*guest_keys, *(key for key, _ in profiles.rows))
    names = _names(
        *(chain[0] for chain in chains), *(profile for _, profile in profiles.rows)
    )
    projects = _names(*(guest.project for guest in guests))
    groups = _names(
        *(guest.trust_group for guest in guests), *(host.trust_group for host in hosts)
    )
    return {
        "hosts": tuple(host.name for host in hosts),
        "host_group": _at(groups, [host.trust_group for host in hosts]),
        "keys": tuple(keys),
        "profiles": tuple(names),
        "projects": tuple(projects),
        "groups": tuple(groups),
        "row_key": _at(keys, [key for key, _ in profiles.rows]),
        "row_profile": _at(names, [name for _, name in profiles.rows]),
        "guest_uuid": _v16([uuid.UUID(guest.uuid).bytes for guest in guests]),
        "guest_host": _at(host_index, [guest.host for guest in guests]),
        "guest_key": _at(keys, guest_keys),
        "guest_row": _i4(
            [
                next(
                    (
                        row_index[key, name]
                        for name in chain
                        if (key, name) in row_index
                    ),
                    NONE,
                )
                for key, chain in zip(guest_keys, chains, strict=True)
            ]
        ),
        "guest_memory_mb": _i4([guest.memory_mb for guest in guests]),
        "guest_project": _at(projects, [guest.project for guest in guests]),
        "guest_group": _at(groups, [guest.trust_group for guest in guests]),
        "guest_profile": _at(names, [chain[0] for chain in chains]),
    }


def _image_columns(images: Iterable[Image]) -> dict[str, Any]:
    known = {
        number: image
        for image in images
        if (number := _uuid_bytes(image.id)) is not None
    }
    numbers = sorted(known)
    words = _names(
        *(image.os_distro for image in known.values()),
        *(image.os_version for image in known.values()),
    )
    return {
        "words": tuple(words),
        "image_id": _v16(numbers),
        "image_distro": _at(words, [known[number].os_distro for number in numbers]),
        "image_version": _at(words, [known[number].os_version for number in numbers]),
        "image_base": _v16(
            [_uuid_bytes(known[number].base or "") or bytes(16) for number in numbers]
        ),
    }


def _names(*names: str | None) -> dict[str, int]:
    """Each name once, with its place in ascending order; on one line."""
    lines = {_line(name) for name in names if name is not None}
    return _index(sorted(lines))


def _index(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


def _at(index: dict[str, int], names: Sequence[str | None]) -> Array:
    return _i4([NONE if name is None else index[_line(name)] for name in names])


def _line(name: str) -> str:
    """Image properties are free text; the board's is by lines."""
    return name.replace("\n", " ")


def _uuid_bytes(text: str) -> bytes | None:
    try:
        return uuid.UUID(text).bytes
    except ValueError:
        return None


def _down(size_mb: int | None) -> int:
    return NONE if size_mb is None else size_mb // STEP_MB * STEP_MB


def _up(size_mb: int | None) -> int:
    return NONE if size_mb is None else -(-size_mb // STEP_MB) * STEP_MB


def _percent(fraction: float | None) -> int:
    return NONE if fraction is None else round(100.0 * fraction)


def _whole(number: float | None) -> int:
    return NONE if number is None else min(math.ceil(number), 2**31 - 1)


def _share(sizes_mb: Array) -> Array:
    return np.asarray(
        np.rint(sizes_mb / SHARE_STEP_MB) * SHARE_STEP_MB, np.dtype("<f4")
    )


def _v16(numbers: Sequence[bytes]) -> Array:
    return np.frombuffer(b"".join(numbers), np.dtype("V16"))


def _u1(values: Any) -> Array:
    return np.asarray(values, np.dtype("u1"))


def _i4(values: Any) -> Array:
    return np.asarray(values, np.dtype("<i4"))
