# SPDX-License-Identifier: Apache-2.0
"""Page ids: XXH3-64 of 4096 bytes, with the cloud's public seed.

Two pages with one id are taken for equal. Among 2^28 distinct pages (1 TiB) a
given page of another guest meets a false match with probability 2^-36.
"""

import functools
import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xxhash

PAGE_SIZE = 4096
"""Bytes in a page; KSM knows no other size."""

Ids = npt.NDArray[np.uint64]
"""One-dimensional array of page ids or sealed items."""

Buffer = bytes | bytearray | memoryview
"""Memory that holds pages."""


def page_ids(buffer: Buffer, seed: int = 0) -> Ids:
    """Hash each page of a buffer.

    :param buffer: whole pages, one after another
    :param seed: the cloud's public seed, 0 to 2^64 - 1
    :returns: one id for each page, in order
    :raises ValueError: if the length is no multiple of the page size
    """
    view = memoryview(buffer).cast("B")
    if len(view) % PAGE_SIZE:
        raise ValueError(f"{len(view)} bytes are not whole pages of {PAGE_SIZE}")
    return ids_of(
        [view[at : at + PAGE_SIZE] for at in range(0, len(view), PAGE_SIZE)], seed
    )


def ids_of(pages: Sequence[Buffer], seed: int = 0) -> Ids:
    """Hash pages of 4096 bytes that lie anywhere: one id for each, in order."""
    ids = map(xxhash.xxh3_64_intdigest, pages, itertools.repeat(seed))
    return np.fromiter(ids, dtype=np.uint64, count=len(pages))


@functools.cache
def zero_page_id(seed: int = 0) -> int:
    """The id of the page of 4096 zero bytes."""
    return xxhash.xxh3_64_intdigest(bytes(PAGE_SIZE), seed)


def levels(ids: Ids) -> npt.NDArray[np.uint8]:
    """Leading zero bits of each bare id, at most 63."""
    # A float64 holds 53 bits exactly: look at the upper half first, so that no
    # conversion rounds an id up to the next power of two.
    upper = (ids >> np.uint64(32)).astype(np.float64)
    lower = (ids & np.uint64(0xFFFFFFFF)).astype(np.float64)
    length = np.where(upper > 0, np.frexp(upper)[1] + 32, np.frexp(lower)[1])
    return np.minimum(64 - length, 63).astype(np.uint8)
