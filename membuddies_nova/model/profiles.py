# SPDX-License-Identifier: Apache-2.0
"""Profiles: what a guest that has no memory yet is expected to share.

The live guests of an image tell what the next one of it will hold: the pages
that most of them hold (the consensus). Where an image has no live guest in a
trust scope, those of the image that it is a snapshot of tell it, then those of the
same release of a distribution; where the release is not known, those of the same
project. A profile lives and dies with its guests, so nothing old can linger in it.

A page that c of n guests hold is expected in the next with c / (n + 1): one
guest alone proves little, many prove nearly all. What is expected on a host is
the sum over the consensus pages that any guest there holds: the union of samples,
as in the planner's :class:`~membuddies_nova.model.sharing.SharingModel`, so that
the rebalancer never undoes what the scheduler did.

All of it is within a trust scope: a profile is learned from the scope's own
guests, and expects nothing of any other guest.
"""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse

from membuddies_nova.cluster import Guest, Scope
from membuddies_nova.fingerprint.sample import Sample
from membuddies_nova.model.consensus import in_steps
from membuddies_nova.model.index import Floats, Numbers
from membuddies_nova.model.partition import Member, Partition
from membuddies_nova.model.sharing import PAGES_PER_MB
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.scoreboard.profile import (
    is_of_image,
    profile_chain,
    taught_profiles,
)

Matrix = Any
"""scipy.sparse.csr_matrix of float64."""

WHOLE = 64
"""Where more than one in so many of a trust scope's guests changed, counting all
of them takes no longer."""

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
    """Learn the profiles of a snapshot from nothing; see :class:`Learner`."""
    return Learner(scope).learn(snapshot)


class Learner:
    """Learns the profiles of all images, distributions and projects.

    It remembers the last snapshot's guests, so that where few of them changed it
    counts these alone; see :class:`~membuddies_nova.model.partition.Partition`. A
    trust scope is counted from nothing when the cluster's hosts are others, when
    its shift, or the key that counts, is another, and when more than one in
    ``WHOLE`` of its guests changed. Either way a snapshot has one answer.

    While fingerprints of two keys are about, those of the key that most guests
    have count and the others are as if there were none yet. A guest that is still
    booting teaches nothing: with its few pages hardly any would be those that most
    guests hold. Where none has settled yet, the older ones teach.

    :ivar counted_anew: trust scopes that the last snapshot let count from nothing
    :ivar changed: guests whose change it counted otherwise
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.counted_anew = 0
        self.changed = 0
        self._hosts: tuple[str, ...] = ()
        self._forget()

    def _forget(self) -> None:
        self._guests: tuple[Guest, ...] = ()
        self._pupils: dict[str, _Pupil] = {}
        self._samples: dict[str, Sample] = {}
        self._of_key: dict[str, list[str]] = {}
        self._partitions: dict[str, Partition] = {}
        self._shifts: dict[str, int] = {}
        self._places: dict[str, int] = {}
        self._told: dict[str, _Told] = {}
        self._profiles: Profiles | None = None

    @property
    def memory_bytes(self) -> int:
        """What is kept beside the snapshot's samples."""
        return sum(each.memory_bytes for each in self._partitions.values())

    def learn(self, snapshot: ClusterSnapshot) -> Profiles:
        """The profiles of a snapshot."""
        try:
            self._count(snapshot)
            if self._profiles is None:
                self._profiles = self._written()
        except BaseException:
            # What was changed by half is of no use.
            self._forget()
            raise
        return self._profiles

    def _count(self, snapshot: ClusterSnapshot) -> None:
        hosts = tuple(host.name for host in snapshot.hosts)
        if hosts != self._hosts:
            self._hosts = hosts
            self._forget()
        samples = _of_common_key(snapshot.samples)
        pupils, known = self._pupils, self._samples
        if snapshot.guests is self._guests and samples.keys() == known.keys():
            # Nothing but fingerprints can have changed.
            changed = [uuid for uuid in samples if samples[uuid] is not known[uuid]]
        else:
            self._guests = snapshot.guests
            self._pupils = self._pupils_of(samples)
            self._of_key = _by_key(
                (uuid, pupil.key) for uuid, pupil in self._pupils.items()
            )
            self._places = {guest.uuid: at for at, guest in enumerate(self._guests)}
            self._told, self._profiles = {}, None
            changed = [
                uuid
                for uuid in pupils.keys() | self._pupils.keys()
                if pupils.get(uuid) != self._pupils.get(uuid)
                or samples.get(uuid) is not known.get(uuid)
            ]
        self._samples = dict(samples)
        touched = _by_key(
            (uuid, key)
            for uuid in changed
            for key in {
                each[uuid].key for each in (pupils, self._pupils) if uuid in each
            }
        )
        self.counted_anew = self.changed = 0
        for key, uuids in touched.items():
            self._profiles = None
            self._told.pop(key, None)
            self._count_key(key, self._of_key.get(key, []), uuids)

    def _pupils_of(self, samples: Mapping[str, Sample]) -> dict[str, "_Pupil"]:
        """The guests that have a fingerprint, by uuid."""
        numbers = {name: number for number, name in enumerate(self._hosts)}
        guests = [guest for guest in self._guests if guest.uuid in samples]
        keys = {guest.uuid: guest.scope_key(self._scope) for guest in guests}
        of_profile: dict[tuple[str, str], list[Guest]] = collections.defaultdict(list)
        for guest in guests:
            for profile in taught_profiles(guest):
                of_profile[keys[guest.uuid], profile].append(guest)
        teaches: dict[str, list[str]] = {guest.uuid: [] for guest in guests}
        for (_, profile), found in of_profile.items():
            for guest in _teachers(profile, found):
                teaches[guest.uuid].append(profile)
        return {
            guest.uuid: _Pupil(
                keys[guest.uuid],
                # What is shut off can tell of its profile, but shares nothing.
                None
                if guest.host is None or not guest.has_memory
                else numbers[guest.host],
                frozenset(teaches[guest.uuid]),
            )
            for guest in guests
        }

    def _count_key(
        self, key: str, uuids: Sequence[str], changed: Sequence[str]
    ) -> None:
        """Count a trust scope's guests, of which some have changed."""
        if not uuids:
            del self._partitions[key]
            return
        shift = max([self._samples[uuid].shift for uuid in uuids])
        partition = self._partitions.get(key)
        few = len(changed) <= max(1, len(uuids) // WHOLE)
        if partition is not None and self._shifts[key] == shift and few:
            self.changed += len(changed)
            for uuid in sorted(changed):
                pupil = self._pupils.get(uuid)
                stays = pupil is not None and pupil.key == key
                partition.change(uuid, self._member(uuid, shift) if stays else None)
            return
        self.counted_anew += 1
        self._shifts[key] = shift
        self._partitions[key] = Partition(
            {uuid: self._member(uuid, shift) for uuid in uuids}, len(self._hosts)
        )

    def _member(self, uuid: str, shift: int) -> Member:
        pupil = self._pupils[uuid]
        return Member(
            items=self._samples[uuid].thinned(shift).model_items,
            host=pupil.host,
            teaches=pupil.teaches,
        )

    def _written(self) -> Profiles:
        for key in self._partitions.keys() - self._told.keys():
            self._told[key] = self._tell(key)
        rows: list[tuple[str, str]] = []
        expected, overlap, own = _Entries(), _Entries(), _Entries()
        for key, told in sorted(self._told.items()):
            first = len(rows)
            rows += [(key, profile) for profile in told.profiles]
            row, host, share_mb = told.expected
            expected.add(row + first, host, share_mb)
            row, other, share_mb = told.overlap
            overlap.add(row + first, other + first, share_mb)
            own.add(*told.own)
        hosts = len(self._hosts)
        return Profiles(
            rows=tuple(rows),
            expected_mb=expected.matrix((len(rows), hosts)),
            overlap_mb=overlap.matrix((len(rows), len(rows))),
            own_mb=own.matrix((len(self._guests), hosts)),
        )

    def _tell(self, key: str) -> "_Told":
        """A trust scope's part of the profiles."""
        partition = self._partitions[key]
        scale = float(1 << self._shifts[key]) / PAGES_PER_MB
        sums = partition.consensus
        profiles = sorted(sums.rows)
        numbers = np.array([sums.rows[profile] for profile in profiles], np.int64)
        sizes, hosts = sums.sizes[numbers] + 1.0, partition.columns
        block = sums.expected[numbers, : len(hosts)]
        row, column = np.nonzero(block)
        expected = row, hosts[column], block[row, column] * scale / sizes[row]
        block = in_steps(sums.overlap[np.ix_(numbers, numbers)])
        row, other = np.nonzero(block)
        among = np.sqrt(sizes[row] * sizes[other])
        overlap = row, other, block[row, other] * scale / among
        guests = partition.guests
        places = np.array([self._places[guest] for guest in guests], np.int64)
        guest, host, items = partition.best_hosts(
            np.fromiter(guests.values(), np.int64, len(guests))
        )
        own_mb = items.astype(np.float64) * scale
        return _Told(profiles, expected, overlap, (places[guest], host, own_mb))


@dataclasses.dataclass(frozen=True, slots=True)
class _Pupil:
    """What counts of a guest with a fingerprint, beside this.

    :ivar key: its trust scope's
    :ivar host: number of the host where it has memory
    :ivar teaches: the profiles that its pages tell of
    """

    key: str
    host: int | None
    teaches: frozenset[str]


def _by_key(named: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Uuids by trust scope's key, of pairs of both."""
    found: dict[str, list[str]] = collections.defaultdict(list)
    for uuid, key in named:
        found[key].append(uuid)
    return found


_Triples = tuple[Numbers, Numbers, Floats]
"""Entries of a matrix: rows, columns, megabytes."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Told:
    """What the profiles tell of one trust scope, with rows by its profiles.

    :ivar own: by the guests' places in the snapshot
    """

    profiles: list[str]
    expected: _Triples
    overlap: _Triples
    own: _Triples


class _Entries:
    """Entries of a sparse matrix, gathered in parts."""

    def __init__(self) -> None:
        self._parts: list[tuple[Any, Any, Any]] = [((), (), ())]

    def add(self, rows: Any, columns: Any, values: Any) -> None:
        self._parts.append((rows, columns, values))

    def matrix(self, shape: tuple[int, int]) -> Matrix:
        """With sorted columns."""
        rows, columns, values = (
            np.concatenate(each) for each in zip(*self._parts, strict=True)
        )
        indices = (rows.astype(np.int32), columns.astype(np.int32))
        found = scipy.sparse.csr_matrix((values, indices), shape=shape)
        found.sort_indices()
        return found


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


def _of_common_key(samples: Mapping[str, Sample]) -> Mapping[str, Sample]:
    """The samples under the key, and with the seed, that most of them have."""
    keys = collections.Counter((s.key_id, s.seed) for s in samples.values())
    if len(keys) <= 1:
        return samples
    # Of two equally frequent ones every controller takes the same.
    common = max(keys, key=lambda key: (keys[key], key))
    return {
        uuid: sample
        for uuid, sample in samples.items()
        if (sample.key_id, sample.seed) == common
    }
