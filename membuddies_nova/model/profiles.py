# SPDX-License-Identifier: Apache-2.0
"""Profiles: what a guest that has no memory yet is expected to share.

The live guests of an image tell what the next one of it will hold: the pages
that most of them hold (the consensus). Where an image has no live guest in a
trust scope, those of the image that it is a snapshot of tell it, then those of the
same release of a distribution; where the release is not known, those of the same
project. A profile lives and dies with its guests, so nothing old can linger in it.

A page that c of n guests hold is expected in the next with c / (n + 1): one
guest alone proves little, many prove nearly all. What is expected on a host is
the sum over the consensus pages that any guest there holds, so the profiles ask
the same :class:`~membuddies_nova.model.sharing.SharingModel` as the planner, and
the rebalancer never undoes what the scheduler did.

All of it is within a trust scope: a profile is learned from the scope's own
guests, and expects nothing of any other guest.
"""

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse

from membuddies_nova.cluster import Guest, Scope
from membuddies_nova.fingerprint.sample import Sample
from membuddies_nova.model.sharing import PAGES_PER_MB, SharingModel
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.scoreboard.profile import (
    is_of_image,
    profile_chain,
    taught_profiles,
)

Matrix = Any
"""scipy.sparse.csr_matrix of float64."""

BEST_HOSTS = 8
"""Hosts that are kept for each guest with a fingerprint of its own."""

SETTLED_SECONDS = 120.0
"""A guest this old has booted, so that its pages tell of its profile."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Profiles:
    """Expected sharing, in megabytes.

    :ivar rows: (scope key, profile) of each row, ascending
    :ivar expected_mb: rows x the snapshot's hosts; a new guest of the profile
    :ivar overlap_mb: rows x rows; two new guests of both profiles
    :ivar own_mb: the snapshot's guests x its hosts; the guest's own pages,
        counted without the guest itself, ``BEST_HOSTS`` for each guest
    """

    rows: tuple[tuple[str, str], ...]
    expected_mb: Matrix
    overlap_mb: Matrix
    own_mb: Matrix


def learn(snapshot: ClusterSnapshot, scope: Scope) -> Profiles:
    """Learn the profiles of all images, distributions and projects.

    While fingerprints of two keys are about, those of the key that most guests
    have count and the others are as if there were none yet. A guest that is still
    booting teaches nothing: with its few pages hardly any would be those that most
    guests hold. Where none has settled yet, the older ones teach.
    """
    snapshot = dataclasses.replace(snapshot, samples=_of_common_key(snapshot.samples))
    model = SharingModel(snapshot, scope)
    guests = [guest for guest in snapshot.guests if guest.uuid in snapshot.samples]
    of_profile: dict[tuple[str, str], list[Guest]] = collections.defaultdict(list)
    for guest in guests:
        for profile in taught_profiles(guest):
            of_profile[guest.scope_key(scope), profile].append(guest)
    members = {
        row: [model.row(guest.uuid) for guest in _teachers(row[1], found)]
        for row, found in of_profile.items()
    }
    rows = tuple(sorted(members))

    pages = scipy.sparse.diags(model.classes.pages)
    holders = model.classes.holders
    counts = _host_counts(snapshot, model)
    on_host = (counts > 0).astype(np.float64)
    likely = _likely(rows, members, model)
    expected = likely @ pages @ on_host.T
    # For one profile with itself this is the likelihood alone: its guests hold
    # the same pages of the consensus rather than any of them.
    overlap = likely.sqrt() @ pages @ likely.sqrt().T

    placed = _placements(snapshot)
    lone = _lone_pages(rows, members, snapshot, model)
    expected = expected + lone @ placed
    overlap = overlap + scipy.sparse.diags(np.asarray(lone.sum(axis=1)).ravel())

    own = holders @ pages @ on_host.T
    by_itself = holders @ pages @ (counts == 1).astype(np.float64).T
    own = own - by_itself.multiply(placed)
    return Profiles(
        rows=rows,
        expected_mb=_tidy(expected),
        overlap_mb=_tidy(overlap),
        own_mb=_best(_tidy(own)),
    )


def settling_seconds(guest: Guest) -> float:
    """For how long a guest has run, up to ``SETTLED_SECONDS``."""
    if guest.age_seconds is None:
        # Nova says when a guest was launched once it is built.
        return 0.0 if guest.status == "BUILD" else SETTLED_SECONDS
    return min(guest.age_seconds, SETTLED_SECONDS)


def _teachers(profile: str, guests: list[Guest]) -> list[Guest]:
    """Of a profile's guests those whose pages tell of it; at least one.

    Guests of its snapshots tell of an image only where it has none of its own.
    """
    if is_of_image(profile):
        own = [guest for guest in guests if profile_chain(guest)[0] == profile]
        guests = own or guests
    oldest = max(map(settling_seconds, guests))
    enough = oldest if oldest >= SETTLED_SECONDS else oldest / 2.0
    return [guest for guest in guests if settling_seconds(guest) >= enough]


def _of_common_key(samples: Mapping[str, Sample]) -> dict[str, Sample]:
    """The samples under the key, and with the seed, that most of them have."""
    keys = collections.Counter((s.key_id, s.seed) for s in samples.values())
    if not keys:
        return {}
    # Of two equally frequent ones every controller takes the same.
    common = max(keys, key=lambda key: (keys[key], key))
    return {
        uuid: sample
        for uuid, sample in samples.items()
        if (sample.key_id, sample.seed) == common
    }


def _likely(
    rows: tuple[tuple[str, str], ...],
    members: Mapping[tuple[str, str], list[int]],
    model: SharingModel,
) -> Matrix:
    """How likely a new guest of each row holds each page class; rows x classes."""
    sizes = np.array([len(members[row]) for row in rows], np.float64)
    member = _sparse(
        np.ones(int(sizes.sum())),
        np.repeat(np.arange(len(rows)), sizes.astype(np.int64)),
        [guest for row in rows for guest in members[row]],
        (len(rows), len(model.uuids)),
    )
    held = (member @ model.classes.holders).tocoo()
    most = held.data > sizes[held.row] / 2.0
    row, column = held.row[most], held.col[most]
    return _sparse(held.data[most] / (sizes[row] + 1.0), row, column, held.shape)


def _lone_pages(
    rows: tuple[tuple[str, str], ...],
    members: Mapping[tuple[str, str], list[int]],
    snapshot: ClusterSnapshot,
    model: SharingModel,
) -> Matrix:
    """Expected pages that a row's only guest alone holds; rows x guests.

    The model has no classes for pages that nobody shares yet.
    """
    found: list[tuple[float, int, int]] = []
    for row, name in enumerate(rows):
        if len(members[name]) > 1:
            continue
        guest = members[name][0]
        sample = snapshot.samples[model.uuids[guest]]
        shared = float(model.classes.pages[model.classes.of_guest(guest)].sum())
        alone = max(float(len(sample.model_items) << sample.shift) - shared, 0.0)
        found.append((alone / 2.0, row, guest))
    data, row_numbers, guests = zip(*found, strict=True) if found else ((), (), ())
    return _sparse(data, row_numbers, guests, (len(rows), len(model.uuids)))


def _placements(snapshot: ClusterSnapshot) -> Matrix:
    """1 where a guest has its memory on a host; guests x hosts.

    What is shut off can tell of its profile, but shares nothing.
    """
    index = {host.name: number for number, host in enumerate(snapshot.hosts)}
    placed = [
        (row, index[guest.host])
        for row, guest in enumerate(snapshot.guests)
        if guest.host is not None and guest.has_memory
    ]
    return _sparse(
        np.ones(len(placed)),
        [row for row, _ in placed],
        [host for _, host in placed],
        (len(snapshot.guests), len(snapshot.hosts)),
    )


def _host_counts(snapshot: ClusterSnapshot, model: SharingModel) -> Matrix:
    """How many guests of each host hold each page class; hosts x classes."""
    return (_placements(snapshot).T @ model.classes.holders).tocsr()


def _best(own: Matrix) -> Matrix:
    """Keep the ``BEST_HOSTS`` largest entries of each row."""
    keep = np.zeros(len(own.data), np.bool_)
    for start, end in zip(own.indptr[:-1], own.indptr[1:], strict=True):
        order = np.argsort(-own.data[start:end], kind="stable")[:BEST_HOSTS]
        keep[start + order] = True
    own.data[~keep] = 0.0
    own.eliminate_zeros()
    return own


def _tidy(pages: Matrix) -> Matrix:
    """Megabytes, with sorted columns and no zero kept."""
    matrix = scipy.sparse.csr_matrix(pages) / float(PAGES_PER_MB)
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix


def _sparse(data: Any, rows: Any, columns: Any, shape: tuple[int, int]) -> Matrix:
    return scipy.sparse.csr_matrix((data, (rows, columns)), shape=shape)
