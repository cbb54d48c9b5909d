# SPDX-License-Identifier: Apache-2.0
"""Bloom filters of guests' pages, the compact fingerprint of the paper.

Wood et al., "Memory Buddies" (VEE 2009), section 3.2, with the estimate of an
intersection from zero bits (Michael et al., "Improving distributed join
efficiency with extended bloom filter operations", AINA 2007). For files and
comparison with the sample only.

A filter of sealed items is sealed: which bits a page sets follows from the key.
Filters compare if their numbers of hashes agree and one size divides the other: the
larger is folded to the smaller, as a finer sample is thinned to a coarser one. Sizes
that :func:`dimensions` gives are powers of two and always do.
"""

import dataclasses
import math
from typing import Self

import numpy as np
import numpy.typing as npt

from membuddies_nova import exceptions
from membuddies_nova.fingerprint import seal
from membuddies_nova.fingerprint.sample import (
    Counters,
    Estimate,
    Format,
    Sample,
    check_comparable,
)

MIN_BITS = 64
MAX_BITS = 2**31
"""Of a filter: 256 MiB, a guest of half a TiB at 0.2 % false positives."""
MAX_HASHES = 64

# Odd multipliers (of xxHash) that turn one well-mixed item into two hashes.
_FIRST = np.uint64(0x9E3779B185EBCA87)
_SECOND = np.uint64(0xC2B2AE3D27D4EB4F)

_SET_BITS = np.array([byte.bit_count() for byte in range(256)], np.uint8)


@dataclasses.dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BloomFilter:
    """A guest's pages as bits; each page sets ``hashes`` of ``size`` bits.

    :ivar bits: packed, eight to a byte, the lowest first
    :ivar size: m, number of bits
    :ivar hashes: k, bits set by a page
    :ivar counters: of the scan, exact
    :ivar seed: of the page ids
    :ivar key_id: of the key that sealed them, or ``seal.BARE``
    """

    bits: npt.NDArray[np.uint8]
    size: int
    hashes: int
    counters: Counters
    seed: int = 0
    key_id: bytes = seal.BARE

    @classmethod
    def of_list(cls, pages: Sample, size: int, hashes: int) -> Self:
        """Fill a filter; the i-th bit of an item is h1 + i h2 (mod m).

        :param pages: every page of a guest, bare or sealed
        :raises FingerprintError: for a sample of them
        """
        if pages.format is not Format.LIST:
            raise exceptions.FingerprintError(
                f"a Bloom filter needs every page, not one of {2**pages.shift}"
            )
        first = (pages.items * _FIRST) >> np.uint64(32)
        second = ((pages.items * _SECOND) >> np.uint64(32)) | np.uint64(1)
        bits = np.zeros(size, np.bool_)
        for number in range(hashes):
            bits[(first + np.uint64(number) * second) % np.uint64(size)] = True
        return cls(
            bits=np.packbits(bits, bitorder="little"),
            size=size,
            hashes=hashes,
            counters=pages.counters,
            seed=pages.seed,
            key_id=pages.key_id,
        )

    @property
    def format(self) -> Format:
        return Format.BLOOM

    @property
    def is_sealed(self) -> bool:
        return self.key_id != seal.BARE

    @property
    def zero_bits(self) -> int:
        return self.size - int(_SET_BITS[self.bits].sum(dtype=np.int64))

    @property
    def unique_pages(self) -> int:
        """Exact for a guest, estimated for a union."""
        return self.counters.unique_pages

    def folded(self, size: int) -> "BloomFilter":
        """The filter of a smaller size that would have been filled.

        :param size: a divisor of this one's
        """
        if size == self.size:
            return self
        bits = np.unpackbits(self.bits, bitorder="little", count=self.size)
        folded = bits.reshape(-1, size).any(axis=0)
        return dataclasses.replace(
            self, bits=np.packbits(folded, bitorder="little"), size=size
        )

    def union(self, other: "BloomFilter") -> "BloomFilter":
        """The filter of what either guest holds, at the smaller size.

        Counters become sums, and ``unique_pages`` an estimate from the zero bits.

        :raises IncompatibleFingerprintsError: if seed, key, format, number of
            hashes or size differ
        :raises FingerprintError: if it is full
        """
        a, b = self._beside(other)
        both = dataclasses.replace(a, bits=a.bits | b.bits)
        zeros = both.zero_bits
        if not zeros:
            raise _full(a.size)
        unique = math.ceil(math.log(a.size / zeros) / (a.hashes * a._step))
        return dataclasses.replace(
            both, counters=a.counters.together(b.counters, unique)
        )

    def shared_pages(self, other: "BloomFilter") -> Estimate:
        """About how many unique pages both guests hold.

        ``c = [ln(z1 + z2 - z12) - ln(z1 z2) + ln m] / (k [ln m - ln(m - 1)])``,
        where z are zero bits and z12 those of the AND. The error follows from
        the variance of the zero bits (delta method).

        :raises IncompatibleFingerprintsError: if seed, key, format, number of
            hashes or size differ
        :raises FingerprintError: if both together are full
        """
        a, b = self._beside(other)
        z1, z2 = a.zero_bits, b.zero_bits
        union = dataclasses.replace(a, bits=a.bits | b.bits).zero_bits
        if not union:
            raise _full(a.size)
        m, k = a.size, a.hashes
        common = math.log(union * m / (z1 * z2)) / (k * a._step)
        variance = m / union - m / z1 - m / z2 + 2 * union * m / (z1 * z2) - 1
        variance -= k * max(common, 0.0) / m
        return Estimate(max(common, 0.0), math.sqrt(max(variance, 0.0) * m) / k)

    def _beside(self, other: "BloomFilter") -> tuple["BloomFilter", "BloomFilter"]:
        check_comparable((self, other))
        if self.hashes != other.hashes:
            raise exceptions.IncompatibleFingerprintsError(
                "number of hashes", self.hashes, other.hashes
            )
        size = min(self.size, other.size)
        if max(self.size, other.size) % size:
            raise exceptions.IncompatibleFingerprintsError(
                "size", self.size, other.size
            )
        return self.folded(size), other.folded(size)

    @property
    def _step(self) -> float:
        """ln m - ln(m - 1), exact for large m."""
        return -math.log1p(-1.0 / self.size)


def dimensions(items: int, error: float) -> tuple[int, int]:
    """Size and number of hashes for a share of false positives.

    :param items: that a filter should hold
    :param error: of items that were never put in, how many seem to be in at most;
        above 0 and below 1
    :returns: a power of two, and a number that depends on the error alone, so that
        all filters of one error compare
    :raises FingerprintError: for more items than a filter takes
    """
    needed = -max(items, 1) * math.log(error) / math.log(2) ** 2
    size = 1 << max(math.ceil(needed) - 1, MIN_BITS - 1).bit_length()
    if size > MAX_BITS:
        raise exceptions.FingerprintError(
            f"a Bloom filter of {items} pages with {error:g} false positives is too "
            f"large; allow more of them, or use format sample or list"
        )
    return size, min(max(round(-math.log2(error)), 1), MAX_HASHES)


def _full(size: int) -> exceptions.FingerprintError:
    return exceptions.FingerprintError(
        f"a Bloom filter of {size} bits is too small for these guests: none is left "
        f"zero; make larger ones, or use format sample"
    )
