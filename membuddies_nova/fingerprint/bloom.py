# SPDX-License-Identifier: Apache-2.0
"""Bloom filters of guests' pages, the compact fingerprint of the paper.

Wood et al., "Memory Buddies" (VEE 2009), section 3.2, with the estimate of an
intersection from zero bits (Michael et al., "Improving distributed join
efficiency with extended bloom filter operations", AINA 2007). For files and
comparison with the sample only: a filter can neither be thinned nor sealed, and
filters compare only if size and number of hashes agree.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Self

import numpy as np
import numpy.typing as npt

from membuddies_nova.fingerprint import page
from membuddies_nova.fingerprint.sample import Estimate

# Odd multipliers (of xxHash) that turn one well-mixed item into two hashes.
_FIRST = np.uint64(0x9E3779B185EBCA87)
_SECOND = np.uint64(0xC2B2AE3D27D4EB4F)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class BloomFilter:
    """A set of items as bits; each item sets ``hashes`` of ``size`` bits.

    :ivar bits: packed, eight to a byte
    :ivar size: m, number of bits
    :ivar hashes: k, bits set by an item
    """

    bits: npt.NDArray[np.uint8]
    size: int
    hashes: int

    @classmethod
    def of_items(cls, items: page.Ids, size: int, hashes: int) -> Self:
        """Fill a filter; the i-th bit of an item is h1 + i h2 (mod m)."""
        first = (items * _FIRST) >> np.uint64(32)
        second = ((items * _SECOND) >> np.uint64(32)) | np.uint64(1)
        bits = np.zeros(size, np.bool_)
        for number in range(hashes):
            bits[(first + np.uint64(number) * second) % np.uint64(size)] = True
        return cls(np.packbits(bits), size, hashes)

    @property
    def zero_bits(self) -> int:
        return self.size - int(np.unpackbits(self.bits).sum())

    def union(self, other: "BloomFilter") -> "BloomFilter":
        """The filter of all items of both."""
        return dataclasses.replace(self, bits=self.bits | other.bits)

    def unique_pages(self) -> float:
        """About how many items were put in.

        :returns: infinity for a filter without a zero bit
        """
        zeros = self.zero_bits
        if not zeros:
            return math.inf
        return math.log(self.size / zeros) / (self.hashes * self._step)

    def shared_pages(self, other: "BloomFilter") -> Estimate:
        """About how many items two filters have in common.

        ``c = [ln(z1 + z2 - z12) - ln(z1 z2) + ln m] / (k [ln m - ln(m - 1)])``,
        where z are zero bits and z12 those of the AND. The error follows from
        the variance of the zero bits (delta method).
        """
        z1, z2 = self.zero_bits, other.zero_bits
        union = self.union(other).zero_bits
        if not union:
            return Estimate(math.inf, math.inf)
        m, k = self.size, self.hashes
        common = math.log(union * m / (z1 * z2)) / (k * self._step)
        variance = m / union - m / z1 - m / z2 + 2 * union * m / (z1 * z2) - 1
        variance -= k * max(common, 0.0) / m
        return Estimate(max(common, 0.0), math.sqrt(max(variance, 0.0) * m) / k)

    @property
    def _step(self) -> float:
        """ln m - ln(m - 1), exact for large m."""
        return -math.log1p(-1.0 / self.size)


def dimensions(items: int, error: float) -> tuple[int, int]:
    """Size and number of hashes for a share of false positives.

    :param items: that a filter should hold
    :param error: of items that were never put in, how many seem to be in; above
        0 and below 1
    """
    size = math.ceil(-max(items, 1) * math.log(error) / math.log(2) ** 2)
    return max(size, 64), max(round(-math.log2(error)), 1)


def union(filters: Iterable[BloomFilter]) -> BloomFilter:
    """The filter of all items of some filters, of which there is at least one."""
    first, *others = filters
    for other in others:
        first = first.union(other)
    return first
