# SPDX-License-Identifier: Apache-2.0
"""Boards for tests: written out row by row, or made up by Hypothesis."""

import dataclasses
import uuid
from collections.abc import Mapping

import numpy as np
from hypothesis import strategies as st

from membuddies_nova.cluster import KsmState, Scope
from membuddies_nova.scoreboard.board import Scoreboard
from membuddies_nova.scoreboard.columns import NONE
from membuddies_nova.scoreboard.line import KSM_STATES


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostRow:
    """What is known of a host besides its KSM state and memory."""

    sharing_mb: int = NONE
    pressure_percent: int = NONE
    swap_in: int = NONE
    group: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuestRow:
    """A guest as a test names it; ``row`` is (key, profile)."""

    uuid: str
    host: str | None = None
    key: str = "project:p1"
    row: tuple[str, str] | None = None
    memory_mb: int = 1024
    pending: bool = False
    profile: str | None = None
    project: str | None = None
    group: str | None = None
    best: Mapping[str, float] = dataclasses.field(default_factory=dict)


def board(
    *,
    hosts: Mapping[str, tuple[KsmState, int]],
    rows: Mapping[tuple[str, str], Mapping[str, float]] | None = None,
    overlaps: Mapping[tuple[tuple[str, str], tuple[str, str]], float] | None = None,
    guests: tuple[GuestRow, ...] = (),
    scope: Scope = Scope.PROJECT,
    images: Mapping[str, tuple[str | None, str | None, str | None]] | None = None,
    facts: Mapping[str, HostRow] | None = None,
) -> Scoreboard:
    """A board of hosts, of megabytes by row and host, and of guests.

    :param images: distribution, release and base image by image
    :param facts: what is known of some of the hosts besides
    """
    images, facts = images or {}, facts or {}
    rows = rows or {}
    overlaps = overlaps or {}
    names = list(hosts)
    keys = sorted({key for key, _ in rows} | {guest.key for guest in guests})
    profiles = _names(*(name for _, name in rows), *(g.profile for g in guests))
    projects = _names(*(guest.project for guest in guests))
    about = [facts.get(name, HostRow()) for name in names]
    groups = _names(*(g.group for g in guests), *(h.group for h in about))
    words = _names(*(word for found in images.values() for word in found[:2]))
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
        host_ksm=_u1(KSM_STATES.index(state) for state, _ in hosts.values()),
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
        guest_uuid=_uuids(guest.uuid for guest in guests),
        guest_host=_i4(names.index(g.host) if g.host else -1 for g in guests),
        guest_key=_i4(keys.index(guest.key) for guest in guests),
        guest_row=_i4(order.index(g.row) if g.row else -1 for g in guests),
        guest_memory_mb=_i4(guest.memory_mb for guest in guests),
        guest_pending=_u1(guest.pending for guest in guests),
        guest_end=_i4(np.cumsum([len(guest.best) for guest in guests])),
        best_host=_i4(host for host, _ in best),
        best_mb=_f4(size for _, size in best),
        projects=tuple(projects),
        groups=tuple(groups),
        words=tuple(words),
        host_sharing_mb=_i4(host.sharing_mb for host in about),
        host_pressure_percent=_i4(host.pressure_percent for host in about),
        host_swap_in=_i4(host.swap_in for host in about),
        host_group=_at(groups, (host.group for host in about)),
        guest_project=_at(projects, (guest.project for guest in guests)),
        guest_group=_at(groups, (guest.group for guest in guests)),
        guest_profile=_at(profiles, (guest.profile for guest in guests)),
        image_id=_uuids(images),
        image_distro=_at(words, (found[0] for found in images.values())),
        image_version=_at(words, (found[1] for found in images.values())),
        image_base=_uuids(found[2] for found in images.values()),
    )


def _names(*names):
    return sorted({name for name in names if name is not None})


def _at(index, names):
    return _i4(NONE if name is None else index.index(name) for name in names)


def _uuids(names):
    numbers = (uuid.UUID(name or str(uuid.UUID(int=0))).bytes for name in names)
    return np.frombuffer(b"".join(numbers), np.dtype("V16"))


def _i4(values):
    return np.array(list(values), np.dtype("<i4"))


def _f4(values):
    return np.array(list(values), np.dtype("<f4"))


def _u1(values):
    return np.array(list(values), np.dtype("u1"))


_words = st.text(
    st.characters(blacklist_characters="\n", blacklist_categories=("Cs",)), max_size=8
)
_sizes = st.floats(0, 1e6, width=32)


@st.composite
def boards(draw):
    """Any board that could be."""
    hosts = draw(
        st.dictionaries(
            _words,
            st.tuples(st.sampled_from(KsmState), st.integers(-1, 2**31 - 1)),
            max_size=4,
        )
    )
    sizes = (
        st.dictionaries(st.sampled_from(sorted(hosts)), _sizes)
        if hosts
        else st.just({})
    )
    rows = draw(st.dictionaries(st.tuples(_words, _words), sizes, max_size=4))
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
                key=_words,
                row=st.none() | some_row,
                memory_mb=st.integers(0, 2**31 - 1),
                pending=st.booleans(),
                profile=st.none() | _words,
                project=st.none() | _words,
                group=st.none() | _words,
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
        images=draw(
            st.dictionaries(
                st.uuids().map(str),
                st.tuples(
                    st.none() | _words,
                    st.none() | _words,
                    st.none() | st.uuids().map(str),
                ),
                max_size=3,
            )
        ),
        facts={
            host: draw(
                st.builds(
                    HostRow,
                    sharing_mb=st.integers(-1, 2**31 - 1),
                    pressure_percent=st.integers(-1, 100),
                    swap_in=st.integers(-1, 2**31 - 1),
                    group=st.none() | _words,
                )
            )
            for host in sorted(hosts)
        },
    )
