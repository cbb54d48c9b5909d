# SPDX-License-Identifier: Apache-2.0
"""Boards for tests: written out row by row, or made up by Hypothesis."""

import dataclasses
import uuid
from collections.abc import Mapping

import numpy as np
from hypothesis import strategies as st

from membuddies_nova.cluster import KsmState, Scope
from membuddies_nova.scoreboard.board import Scoreboard, ksm_code


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuestRow:
    """A guest as a test names it; ``row`` is (key, profile)."""

    uuid: str
    host: str | None = None
    key: str = "project:p1"
    row: tuple[str, str] | None = None
    memory_mb: int = 1024
    pending: bool = False
    best: Mapping[str, float] = dataclasses.field(default_factory=dict)


def board(
    *,
    hosts: Mapping[str, tuple[KsmState, int]],
    rows: Mapping[tuple[str, str], Mapping[str, float]] | None = None,
    overlaps: Mapping[tuple[tuple[str, str], tuple[str, str]], float] | None = None,
    guests: tuple[GuestRow, ...] = (),
    scope: Scope = Scope.PROJECT,
) -> Scoreboard:
    """A board of hosts, of megabytes by row and host, and of guests."""
    rows = rows or {}
    overlaps = overlaps or {}
    names = list(hosts)
    keys = sorted({key for key, _ in rows} | {guest.key for guest in guests})
    profiles = sorted({profile for _, profile in rows})
    order = list(rows)
    entries = [
        (names.index(host), size) for row in order for host, size in rows[row].items()
    ]
    best = [
        (names.index(host), size)
        for guest in guests
        for host, size in guest.best.items()
    ]
    return Scoreboard(
        scope=scope,
        hosts=tuple(names),
        keys=tuple(keys),
        profiles=tuple(profiles),
        host_ksm=_u1(ksm_code(state) for state, _ in hosts.values()),
        host_available_mb=_i4(available for _, available in hosts.values()),
        row_key=_i4(keys.index(key) for key, _ in order),
        row_profile=_i4(profiles.index(profile) for _, profile in order),
        row_end=_i4(np.cumsum([len(rows[row]) for row in order])),
        entry_host=_i4(host for host, _ in entries),
        entry_mb=_f4(size for _, size in entries),
        overlap_end=_i4(
            np.cumsum([sum(row == each for row, _ in overlaps) for each in order])
        ),
        overlap_row=_i4(
            order.index(other)
            for each in order
            for row, other in overlaps
            if row == each
        ),
        overlap_mb=_f4(
            size for each in order for (row, _), size in overlaps.items() if row == each
        ),
        guest_uuid=np.frombuffer(
            b"".join(uuid.UUID(guest.uuid).bytes for guest in guests), np.dtype("V16")
        ),
        guest_host=_i4(names.index(g.host) if g.host else -1 for g in guests),
        guest_key=_i4(keys.index(guest.key) for guest in guests),
        guest_row=_i4(order.index(g.row) if g.row else -1 for g in guests),
        guest_memory_mb=_i4(guest.memory_mb for guest in guests),
        guest_pending=_u1(guest.pending for guest in guests),
        guest_end=_i4(np.cumsum([len(guest.best) for guest in guests])),
        best_host=_i4(host for host, _ in best),
        best_mb=_f4(size for _, size in best),
    )


def _i4(values):
    return np.array(list(values), np.dtype("<i4"))


def _f4(values):
    return np.array(list(values), np.dtype("<f4"))


def _u1(values):
    return np.array(list(values), np.dtype("u1"))


_names = st.text(
    st.characters(blacklist_characters="\n", blacklist_categories=("Cs",)), max_size=8
)
_sizes = st.floats(0, 1e6, width=32)


@st.composite
def boards(draw):
    """Any board that could be."""
    hosts = draw(
        st.dictionaries(
            _names,
            st.tuples(st.sampled_from(KsmState), st.integers(-1, 2**31 - 1)),
            max_size=4,
        )
    )
    sizes = (
        st.dictionaries(st.sampled_from(sorted(hosts)), _sizes)
        if hosts
        else st.just({})
    )
    rows = draw(st.dictionaries(st.tuples(_names, _names), sizes, max_size=4))
    some_row = st.sampled_from(sorted(rows)) if rows else st.nothing()
    overlaps = draw(
        st.dictionaries(st.tuples(some_row, some_row), _sizes, max_size=4)
        if rows
        else st.just({})
    )
    guests = draw(
        st.lists(
            st.builds(
                GuestRow,
                uuid=st.uuids().map(str),
                host=st.sampled_from([None, *sorted(hosts)]),
                key=_names,
                row=st.none() | some_row,
                memory_mb=st.integers(0, 2**31 - 1),
                pending=st.booleans(),
                best=sizes,
            ),
            max_size=4,
        )
    )
    return board(
        hosts=hosts,
        rows=rows,
        overlaps=overlaps,
        guests=tuple(guests),
        scope=draw(st.sampled_from(Scope)),
    )
