# SPDX-License-Identifier: Apache-2.0
"""The scoreboard of a snapshot: profiles and facts, written as arrays.

For the controller, which sends it to the schedulers, and for whoever wants to
know offline where a guest would be placed.
"""

import uuid
from collections.abc import Collection
from typing import Any

import numpy as np

from membuddies_nova.cluster import Host, Scope
from membuddies_nova.model.profiles import Profiles
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.scoreboard.board import (
    NONE,
    Array,
    Scoreboard,
    ksm_code,
    profile_chain,
)

AVAILABLE_STEP_MB = 64
"""Available memory is rounded down to this, so that a busy host's next few
pages do not make a new board."""


def board_of(
    snapshot: ClusterSnapshot,
    profiles: Profiles,
    scope: Scope,
    *,
    pending: Collection[str] = (),
) -> Scoreboard:
    """Write a board.

    :param profiles: learned from the same hosts and guests, in the same order
    :param pending: uuids of guests that were booked lately and that neither a
        fingerprint nor their host's available memory shows yet
    """
    guests = snapshot.guests
    guest_keys = [guest.scope_key(scope) for guest in guests]
    keys = sorted({*guest_keys, *(key for key, _ in profiles.rows)})
    names = sorted({profile for _, profile in profiles.rows})
    key_index = {key: number for number, key in enumerate(keys)}
    name_index = {name: number for number, name in enumerate(names)}
    host_index = {host.name: number for number, host in enumerate(snapshot.hosts)}
    row_index = {row: number for number, row in enumerate(profiles.rows)}

    guest_rows = []
    for guest, key in zip(guests, guest_keys, strict=True):
        found = (row_index.get((key, name)) for name in profile_chain(guest))
        guest_rows.append(next((row for row in found if row is not None), None))
    return Scoreboard(
        scope=scope,
        hosts=tuple(host.name for host in snapshot.hosts),
        host_ksm=_u1([ksm_code(host.ksm) for host in snapshot.hosts]),
        host_available_mb=_i4([_available_mb(host) for host in snapshot.hosts]),
        keys=tuple(keys),
        profiles=tuple(names),
        row_key=_i4([key_index[key] for key, _ in profiles.rows]),
        row_profile=_i4([name_index[name] for _, name in profiles.rows]),
        row_end=_i4(profiles.expected_mb.indptr[1:]),
        entry_host=_i4(profiles.expected_mb.indices),
        entry_mb=_f4(profiles.expected_mb.data),
        overlap_end=_i4(profiles.overlap_mb.indptr[1:]),
        overlap_row=_i4(profiles.overlap_mb.indices),
        overlap_mb=_f4(profiles.overlap_mb.data),
        guest_uuid=np.frombuffer(
            b"".join(uuid.UUID(guest.uuid).bytes for guest in guests), np.dtype("V16")
        ),
        guest_host=_i4(
            [NONE if guest.host is None else host_index[guest.host] for guest in guests]
        ),
        guest_key=_i4([key_index[key] for key in guest_keys]),
        guest_row=_i4([NONE if row is None else row for row in guest_rows]),
        guest_memory_mb=_i4([guest.memory_mb for guest in guests]),
        guest_pending=_u1([guest.uuid in pending for guest in guests]),
        guest_end=_i4(profiles.own_mb.indptr[1:]),
        best_host=_i4(profiles.own_mb.indices),
        best_mb=_f4(profiles.own_mb.data),
    )


def _available_mb(host: Host) -> int:
    if host.available_mb is None:
        return NONE
    return host.available_mb // AVAILABLE_STEP_MB * AVAILABLE_STEP_MB


def _u1(values: Any) -> Array:
    return np.asarray(values, np.dtype("u1"))


def _i4(values: Any) -> Array:
    return np.asarray(values, np.dtype("<i4"))


def _f4(values: Any) -> Array:
    return np.asarray(values, np.dtype("<f4"))
