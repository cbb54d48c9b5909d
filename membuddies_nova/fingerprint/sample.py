# SPDX-License-Identifier: Apache-2.0
"""Coordinated samples of guest memory.

A page is sampled if its id has at least ``shift`` leading zero bits. The choice
depends on the content alone, so a page is in the sample of every guest that
holds it, or of none. Union and intersection of samples are therefore samples of
the union and the intersection (Cohen, "Coordinated Sampling", 2023), n-way, and
a count of items times 2^shift estimates pages without bias.
"""

import dataclasses
import enum
import math
from collections.abc import Iterable
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from membuddies_nova import exceptions
from membuddies_nova.fingerprint import page, seal

MIN_SHIFT = 6
"""The finest sample that an agent sends."""
MAX_SHIFT = 63
MAX_ITEMS = 65_536
"""Items of a sample at most, which fixes the shift of a large guest."""


class Format(enum.StrEnum):
    """How a guest's pages are kept."""

    SAMPLE = "sample"
    LIST = "list"
    BLOOM = "bloom"


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """A number of pages with its standard error, both in pages.

    ``n`` items at shift ``s`` stand for ``n * 2^s`` pages. They are a binomial
    sample with probability ``2^-s``, so the standard error is
    ``2^s * sqrt(n * (1 - 2^-s))``.
    """

    pages: float
    standard_error: float

    @classmethod
    def of_items(cls, count: int, shift: int) -> Self:
        """What so many items of a sample stand for; exact at shift 0."""
        scale = float(1 << shift)
        return cls(count * scale, math.sqrt(count * scale * (scale - 1.0)))

    @property
    def mb(self) -> float:
        return self.pages * page.PAGE_SIZE / 2**20

    @property
    def error_mb(self) -> float:
        return self.standard_error * page.PAGE_SIZE / 2**20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Exact counts of one scan, in pages.

    :ivar resident_pages: present in mergeable mappings
    :ivar unique_pages: distinct contents among them, without the zero page
    :ivar zero_pages: present pages of 4096 zero bytes
    :ivar kernel_zero_pages: present pages mapped to the kernel's own zero page,
        which cost nothing; part of zero_pages
    :ivar ksm_merging_pages: of /proc/PID/ksm_stat, None where it is missing
    :ivar ksm_zero_pages: likewise
    """

    resident_pages: int
    unique_pages: int
    zero_pages: int
    kernel_zero_pages: int = 0
    ksm_merging_pages: int | None = None
    ksm_zero_pages: int | None = None

    def __post_init__(self) -> None:
        if (
            min(self.resident_pages, self.unique_pages, self.zero_pages) < 0
            or self.unique_pages + self.zero_pages > self.resident_pages
            or not 0 <= self.kernel_zero_pages <= self.zero_pages
        ):
            raise exceptions.FingerprintError(
                f"counts that cannot be true: {self.resident_pages} resident, "
                f"{self.unique_pages} unique, {self.zero_pages} zero, "
                f"{self.kernel_zero_pages} of the kernel's zero page"
            )

    @property
    def self_shared_pages(self) -> int:
        """Pages that repeat another one inside the same guest."""
        return self.resident_pages - self.zero_pages - self.unique_pages

    def together(self, other: "Counters", unique_pages: int) -> "Counters":
        """Of two guests taken as one.

        :param unique_pages: an estimate, kept within what can be true
        """
        least = max(self.unique_pages, other.unique_pages)
        most = self.unique_pages + other.unique_pages
        return Counters(
            resident_pages=self.resident_pages + other.resident_pages,
            unique_pages=min(max(unique_pages, least), most),
            zero_pages=self.zero_pages + other.zero_pages,
            kernel_zero_pages=self.kernel_zero_pages + other.kernel_zero_pages,
        )


@dataclasses.dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Sample:
    """The sampled items of a guest; with shift 0 all of them (a list).

    :ivar items: sorted, distinct; bare ids or sealed items
    :ivar shift: every item's level is at least this
    :ivar seed: of the page ids
    :ivar key_id: of the key that sealed the items, or ``seal.BARE``
    :ivar counters: exact counts of the scan
    :ivar stable: for each item whether the scan before had it too, None for
        the first scan
    """

    items: page.Ids
    shift: int
    counters: Counters
    seed: int = 0
    key_id: bytes = seal.BARE
    stable: npt.NDArray[np.bool_] | None = None

    @classmethod
    def of_pages(
        cls,
        ids: page.Ids,
        *,
        shift: int | None = None,
        seed: int = 0,
        zero_id: int | None = None,
    ) -> Self:
        """Sample a page list: one id for each page, repeats and zeros kept.

        :param shift: None for the smallest that an agent would choose
        :param zero_id: id of the zero page, None for XXH3-64's
        """
        zero = page.zero_page_id(seed) if zero_id is None else zero_id
        unique = np.unique(ids)
        unique = unique[unique != np.uint64(zero)]
        counters = Counters(
            resident_pages=len(ids),
            unique_pages=len(unique),
            zero_pages=int(np.count_nonzero(ids == np.uint64(zero))),
        )
        return cls.of_unique(unique, counters, shift=shift, seed=seed)

    @classmethod
    def of_unique(
        cls,
        unique: page.Ids,
        counters: Counters,
        *,
        shift: int | None = None,
        seed: int = 0,
    ) -> Self:
        """Sample sorted, distinct ids among which the zero page's is not."""
        if shift is None:
            shift = smallest_shift(unique)
        if not 0 <= shift <= MAX_SHIFT:
            raise exceptions.FingerprintError(
                f"shift {shift} is outside 0 to {MAX_SHIFT}"
            )
        # The ids are sorted, so those with enough leading zeros come first.
        count = len(unique) if shift == 0 else _ids_below(unique, shift)
        return cls(items=unique[:count], shift=shift, counters=counters, seed=seed)

    @property
    def format(self) -> Format:
        return Format.SAMPLE if self.shift else Format.LIST

    @property
    def unique_pages(self) -> int:
        """Exact for a guest, estimated for a union."""
        return self.counters.unique_pages

    @property
    def is_sealed(self) -> bool:
        return self.key_id != seal.BARE

    @property
    def model_items(self) -> page.Ids:
        """The items that sharing is computed with: stable ones where known.

        KSM merges only pages that hold still.
        """
        return self.items if self.stable is None else self.items[self.stable]

    def levels(self) -> npt.NDArray[np.uint8]:
        """The level of each item."""
        if self.is_sealed:
            return seal.sealed_levels(self.items).astype(np.uint8)
        return page.levels(self.items)

    def thinned(self, shift: int) -> "Sample":
        """The sample that a coarser shift would have taken.

        :raises FingerprintError: for a finer shift, whose items are not known
        """
        if shift == self.shift:
            return self
        if not self.shift < shift <= MAX_SHIFT:
            raise exceptions.FingerprintError(
                f"a sample of shift {self.shift} cannot be thinned to {shift}"
            )
        keep = self.levels() >= shift
        return dataclasses.replace(
            self,
            items=self.items[keep],
            shift=shift,
            stable=None if self.stable is None else self.stable[keep],
        )

    def union(self, other: "Sample") -> "Sample":
        """The sample of what either guest holds, at the coarser shift.

        Counters become sums, and ``unique_pages`` the sum less the estimate of what
        both have.

        :raises IncompatibleFingerprintsError: if seed, key or format differ
        """
        a, b = self._beside(other)
        items = np.union1d(a.model_items, b.model_items)
        shared = (len(a.model_items) + len(b.model_items) - len(items)) << a.shift
        unique = max(a.unique_pages + b.unique_pages - shared, len(items))
        return dataclasses.replace(
            a,
            items=items,
            stable=None,
            counters=a.counters.together(b.counters, unique),
        )

    def shared_pages(self, other: "Sample") -> Estimate:
        """About how many unique pages both guests hold; exact for two lists.

        :raises IncompatibleFingerprintsError: if seed, key or format differ
        """
        a, b = self._beside(other)
        common = np.intersect1d(a.model_items, b.model_items, assume_unique=True)
        return Estimate.of_items(len(common), a.shift)

    def _beside(self, other: "Sample") -> tuple["Sample", "Sample"]:
        check_comparable((self, other))
        shift = max(self.shift, other.shift)
        return self.thinned(shift), other.thinned(shift)

    def sealed(self, key: seal.SealKey) -> "Sample":
        """The same sample under a key.

        :raises FingerprintError: if it is sealed already
        """
        if self.is_sealed:
            raise exceptions.FingerprintError("the sample is sealed already")
        sealed = key.seal(self.items)
        # Two ids may seal to one item, though with probability 2^-58 a pair:
        # the set stays a set, and a page is lost.
        items, first = np.unique(sealed, return_index=True)
        return dataclasses.replace(
            self,
            items=items,
            key_id=key.key_id,
            stable=None if self.stable is None else self.stable[first],
        )

    def with_stability(self, previous: "Sample | None") -> "Sample":
        """Mark the items that the scan before had too.

        :param previous: of the same guest, None if there was none
        """
        if previous is None:
            return dataclasses.replace(self, stable=None)
        check_comparable((self, previous))
        if previous.shift > self.shift:
            # The coarser scan cannot tell of the finer items.
            return dataclasses.replace(self, stable=None)
        return dataclasses.replace(
            self, stable=np.isin(self.items, previous.items, assume_unique=True)
        )


def smallest_shift(unique: page.Ids) -> int:
    """The finest shift from ``MIN_SHIFT`` that keeps ``MAX_ITEMS`` at most.

    :param unique: sorted bare ids
    """
    shift = MIN_SHIFT
    while shift < MAX_SHIFT and _ids_below(unique, shift) > MAX_ITEMS:
        shift += 1
    return shift


def _ids_below(unique: page.Ids, shift: int) -> int:
    """How many of the sorted ids have at least ``shift`` (> 0) leading zeros."""
    return int(np.searchsorted(unique, np.uint64(1 << (64 - shift))))


class Labelled(Protocol):
    """What tells whether two fingerprints can be compared."""

    @property
    def format(self) -> Format: ...

    @property
    def seed(self) -> int: ...

    @property
    def key_id(self) -> bytes: ...


def check_comparable(fingerprints: Iterable[Labelled]) -> None:
    """Refuse to compare what cannot be: other formats, seeds or keys.

    A list is a sample that keeps all, so these two compare.

    :raises IncompatibleFingerprintsError: and says which of the three differs
    """
    first: Labelled | None = None
    for one in fingerprints:
        if first is None:
            first = one
        elif (one.format is Format.BLOOM) != (first.format is Format.BLOOM):
            raise exceptions.IncompatibleFingerprintsError(
                "format", first.format, one.format
            )
        elif one.seed != first.seed:
            raise exceptions.IncompatibleFingerprintsError("seed", first.seed, one.seed)
        elif one.key_id != first.key_id:
            raise exceptions.IncompatibleFingerprintsError(
                "key", first.key_id.hex(), one.key_id.hex()
            )
