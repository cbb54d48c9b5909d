# SPDX-License-Identifier: Apache-2.0
"""The one estimator of what guests share, for the planner and for the boards.

All numbers are in pages of 4096 bytes. What one guest holds is counted exactly
by its scan; what guests share is estimated from the union of their samples, with
its standard error. Three kinds of merging are never mixed: zero pages,
self-sharing inside a guest (placement changes neither), and inter-guest sharing.

Sharing across the border of a trust scope counts as nothing. Numbers that are
compared with KSM's own use ``Scope.GLOBAL``, because the kernel knows no tenants.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from membuddies_nova.cluster import Scope
from membuddies_nova.fingerprint.page import PAGE_SIZE
from membuddies_nova.fingerprint.sample import Estimate, check_comparable
from membuddies_nova.model import index
from membuddies_nova.model.snapshot import ClusterSnapshot

PAGES_PER_MB = 2**20 // PAGE_SIZE


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Where the memory of guests on one host goes, in pages.

    ``resident = zero + self_shared + unique``, and ``unique - inter_shared``
    are the pages that are left after perfect merging.
    """

    resident_pages: int
    zero_pages: int
    self_shared_pages: int
    unique_pages: int
    inter_shared: Estimate


class SharingModel:
    """What the guests of a snapshot share within a trust scope.

    Guests are named by uuid. A guest without a fingerprint counts with its
    whole memory, which shares nothing.

    :param across_keys: count sharing between fingerprints of different keys or
        seeds as nothing, where else they are refused
    :raises IncompatibleFingerprintsError: if the fingerprints' keys or seeds
        differ
    """

    def __init__(
        self,
        snapshot: ClusterSnapshot,
        scope: Scope = Scope.PROJECT,
        *,
        across_keys: bool = False,
    ) -> None:
        samples = [snapshot.samples.get(guest.uuid) for guest in snapshot.guests]
        if not across_keys:
            check_comparable(sample for sample in samples if sample is not None)
        self.scope = scope
        self._snapshot = snapshot
        self._across_keys = across_keys
        self.uuids = tuple(guest.uuid for guest in snapshot.guests)
        self._rows = {uuid: row for row, uuid in enumerate(self.uuids)}
        self._samples = samples
        self._memory_pages = [
            guest.memory_mb * PAGES_PER_MB for guest in snapshot.guests
        ]
        self.classes = index.page_classes(
            samples,
            [
                (guest.scope_key(scope), sample and (sample.seed, sample.key_id))
                for guest, sample in zip(snapshot.guests, samples, strict=True)
            ],
        )

    @functools.cached_property
    def shift(self) -> int:
        """The coarsest shift among the samples."""
        return max((sample.shift for sample in self._samples if sample), default=0)

    def thinned(self, items: int) -> "SharingModel":
        """The same of coarser samples, which hold about so many items together.

        Itself if its samples hold no more.
        """
        known = sum(len(sample.model_items) for sample in self._samples if sample)
        if known <= items:
            return self
        shift = self.shift + math.ceil(math.log2(known / items))
        return SharingModel(
            self._snapshot.thinned(shift), self.scope, across_keys=self._across_keys
        )

    def row(self, guest: str) -> int:
        """The guest's row in the page classes.

        :raises KeyError: for a guest that is not in the snapshot
        """
        return self._rows[guest]

    def unique_pages(self, guest: str) -> int:
        """Distinct pages of a guest, without the zero page."""
        row = self._rows[guest]
        sample = self._samples[row]
        return sample.counters.unique_pages if sample else self._memory_pages[row]

    def resident_pages(self, guest: str) -> int:
        """Present pages of a guest, which a migration copies at least."""
        row = self._rows[guest]
        sample = self._samples[row]
        return sample.counters.resident_pages if sample else self._memory_pages[row]

    def shared_pages(self, a: str, b: str) -> Estimate:
        """Common unique pages of two guests."""
        return self.gain(a, [b])

    def shared_matrix(self) -> index.Floats:
        """Common unique pages of every two guests, in the snapshot's order."""
        holders = self.classes.holders
        matrix: index.Floats = (
            holders.multiply(self.classes.pages) @ holders.T
        ).toarray()
        return matrix

    def gain(self, guest: str, others: Iterable[str]) -> Estimate:
        """Pages that a guest would not need beside others.

        ``|guest ∩ union of the others|``; the guest itself among the others
        counts as absent.
        """
        union = self._holder_counts(other for other in others if other != guest) > 0
        held = self.classes.of_guest(self._rows[guest])
        return self._estimate(held[union[held]])

    def kin(self, guest: str, limit: int) -> list[tuple[str, Estimate]]:
        """The guests that share most with a guest, largest first."""
        row = self._rows[guest]
        weights = np.zeros(len(self.classes))
        held = self.classes.of_guest(row)
        weights[held] = self.classes.pages[held]
        shared = self.classes.holders @ weights
        shared[row] = 0.0
        nearest = np.argsort(-shared, kind="stable")[:limit]
        return [
            (self.uuids[other], self.shared_pages(guest, self.uuids[other]))
            for other in nearest
            if shared[other] > 0
        ]

    def saved_pages(self, guests: Iterable[str]) -> Estimate:
        """Pages that guests on one host save by sharing between them.

        A page that m guests hold saves m - 1.
        """
        extra = np.maximum(self._holder_counts(guests) - 1.0, 0.0)
        return Estimate(
            float(extra @ self.classes.pages),
            math.sqrt(float(np.square(extra) @ self.classes.variance)),
        )

    def host_pages(self, guests: Sequence[str]) -> Estimate:
        """Unique pages of guests on one host after perfect merging."""
        saved = self.saved_pages(guests)
        unique = sum(self.unique_pages(guest) for guest in guests)
        return Estimate(max(unique - saved.pages, 0.0), saved.standard_error)

    def breakdown(self, guests: Sequence[str]) -> Breakdown:
        """Zero, self-shared and inter-guest shared pages of guests on one host."""
        resident = zero = self_shared = 0
        for guest in guests:
            sample = self._samples[self._rows[guest]]
            resident += self.resident_pages(guest)
            if sample is not None:
                zero += sample.counters.zero_pages
                self_shared += sample.counters.self_shared_pages
        return Breakdown(
            resident_pages=resident,
            zero_pages=zero,
            self_shared_pages=self_shared,
            unique_pages=sum(self.unique_pages(guest) for guest in guests),
            inter_shared=self.saved_pages(guests),
        )

    def _holder_counts(self, guests: Iterable[str]) -> npt.NDArray[np.float64]:
        """How many of the guests hold each class."""
        counts = np.zeros(len(self.classes))
        for guest in guests:
            counts[self.classes.of_guest(self._rows[guest])] += 1.0
        return counts

    def _estimate(self, held: npt.NDArray[Any]) -> Estimate:
        return Estimate(
            float(self.classes.pages[held].sum()),
            math.sqrt(float(self.classes.variance[held].sum())),
        )
