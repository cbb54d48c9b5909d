# SPDX-License-Identifier: Apache-2.0
"""From a stretch of guest memory to the ids of its present pages.

For the scan, which hands over one stretch after another. A stretch is read in
blocks of 256 KiB, pagemap anew for each, and only what is present is touched.
There are two readers that find the same ids in the same way: the compiled one,
and the one in Python for where no compiler was at hand when the agent was
built. Neither writes to the process, stops it, or un-merges a page.
"""

import abc
import contextlib
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from membuddies_agent import memory, pagemap
from membuddies_agent.procfs import ProcessFiles
from membuddies_nova.fingerprint import page

Mask = npt.NDArray[np.bool_]
"""For each page of a block whether something holds."""

_BLOCK_BYTES = memory.BLOCK_PAGES * page.PAGE_SIZE


class Found(NamedTuple):
    """What a reader found in a stretch.

    :ivar pages: present ones, zero pages included
    :ivar kernel_zero_pages: of these, mapped to the kernel's own zero page
    :ivar reading_seconds: spent reading the process's memory
    """

    pages: int
    kernel_zero_pages: int
    reading_seconds: float


class StretchReader(abc.ABC):
    """Reads the memory of one process.

    :param files: of the process
    :param seed: the cloud's public seed of page ids
    :param pinning: whether pages that nobody else maps may be pinned
    :raises NoFingerprint: if the process has ended or may not be read
    """

    @abc.abstractmethod
    def __init__(self, files: ProcessFiles, seed: int, *, pinning: bool) -> None: ...

    @abc.abstractmethod
    def close(self) -> None: ...

    @abc.abstractmethod
    def read(self, start: int, ids: page.Ids) -> Found:
        """Read and hash the present pages of a stretch.

        :param start: address of its first page
        :param ids: room for an id of each of its pages, filled from the start
            with those of the present ones, in no order
        :raises NoFingerprint: if the process has ended or may not be read
        """


class PythonReader(StretchReader):
    """The reader that needs no compiler."""

    def __init__(self, files: ProcessFiles, seed: int, *, pinning: bool) -> None:
        self._seed = seed
        self._pinning = pinning
        self._zero_frame = pagemap.zero_frame()
        with contextlib.ExitStack() as opened:
            self._pagemap = pagemap.PageMap(files)
            opened.callback(self._pagemap.close)
            self._reader = memory.PageReader(files)
            opened.callback(self._reader.close)
            self._frame_flags = pagemap.FrameFlags()
            opened.callback(self._frame_flags.close)
            self._opened = opened.pop_all()

    def close(self) -> None:
        self._opened.close()

    def read(self, start: int, ids: page.Ids) -> Found:
        pages = kernel_zero_pages = 0
        reading_seconds = 0.0
        for address, length in blocks(start, len(ids)):
            found = self._read_block(address, ids[pages : pages + length])
            pages += found.pages
            kernel_zero_pages += found.kernel_zero_pages
            reading_seconds += found.reading_seconds
        return Found(pages, kernel_zero_pages, reading_seconds)

    def _read_block(self, start: int, ids: page.Ids) -> Found:
        entries = self._pagemap.entries(start, len(ids))
        present = pagemap.present(entries)
        if not np.count_nonzero(present):
            return Found(0, 0, 0.0)
        exclusive = present & pagemap.exclusive(entries)
        mapped_elsewhere = present & ~exclusive
        zeros = 0
        if np.count_nonzero(mapped_elsewhere):
            zero = self._kernel_zero(mapped_elsewhere, pagemap.frames(entries))
            zeros = int(np.count_nonzero(zero))
            ids[:zeros] = page.zero_page_id(self._seed)
            present &= ~zero
        pinned = exclusive & self._pinning
        before = time.perf_counter()
        copied = self._reader.copy_pages(
            start, pinned.nonzero()[0], (present & ~pinned).nonzero()[0]
        )
        reading_seconds = time.perf_counter() - before
        pages = zeros + len(copied)
        ids[zeros:pages] = page.ids_of(copied, self._seed)
        return Found(pages, zeros, reading_seconds)

    def _kernel_zero(self, pages: Mask, frames: pagemap.Entries) -> Mask:
        """Which pages of a block are the kernel's own zero page: not read."""
        # The huge zero page shows as frames in a row, which merged pages never
        # are over a whole block.
        if (
            pages.all()
            and (np.diff(frames) == 1).all()
            and self._frame_flags.is_kernel_zero(int(frames[0]))
        ):
            return pages
        return pages & (frames == self._zero_frame)


def blocks(start: int, pages: int) -> Iterator[tuple[int, int]]:
    """Address and pages of each block of a stretch, aligned to blocks."""
    end = start + pages * page.PAGE_SIZE
    while start < end:
        behind = min((start // _BLOCK_BYTES + 1) * _BLOCK_BYTES, end)
        yield start, (behind - start) // page.PAGE_SIZE
        start = behind
