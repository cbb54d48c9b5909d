# SPDX-License-Identifier: Apache-2.0
"""One scan of one process: the ids of exactly the pages that KSM may merge.

The agent scans guests with it, ``membuddies fingerprint`` any process. It looks
at the mergeable mappings block by block, reads what is present, and hashes
each page. It never stops, grows or writes the process, never reads a page that
is absent or swapped out, and never un-merges a page.

Memory: 8 bytes for each present page and one block.
"""

import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from membuddies_agent import memory, pagemap, smaps
from membuddies_agent.errors import NoFingerprint, ScanInterrupted
from membuddies_agent.procfs import Process, ProcessFiles
from membuddies_nova.fingerprint import page, sample

Mask = npt.NDArray[np.bool_]
"""For each page of a block whether something holds."""

_BLOCK_BYTES = memory.BLOCK_PAGES * page.PAGE_SIZE


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scan:
    """What a scan found.

    :ivar ids: one for each present page, zero pages included, in no order
    :ivar seed: of the ids
    :ivar kernel_zero_pages: mapped to the kernel's own zero page, part of ids
    :ivar mergeable_bytes: length of the mergeable mappings
    :ivar seconds: that the scan took
    :ivar reading_seconds: of these, spent reading guest memory
    """

    ids: page.Ids
    seed: int
    kernel_zero_pages: int
    mergeable_bytes: int
    ksm_merging_pages: int | None
    ksm_zero_pages: int | None
    seconds: float
    reading_seconds: float

    def sample(self, shift: int | None = None) -> sample.Sample:
        """The bare sample of the pages, with exact counts.

        It sorts ``ids`` in place, so that a large guest needs no second array.

        :param shift: None for the smallest that an agent sends
        """
        self.ids.sort()
        zero = np.uint64(page.zero_page_id(self.seed))
        zero_pages = int(
            np.searchsorted(self.ids, zero, side="right")
            - np.searchsorted(self.ids, zero)
        )
        repeats = int(np.count_nonzero(self.ids[1:] == self.ids[:-1]))
        counters = sample.Counters(
            resident_pages=len(self.ids),
            unique_pages=len(self.ids) - repeats - bool(zero_pages),
            zero_pages=zero_pages,
            kernel_zero_pages=self.kernel_zero_pages,
            ksm_merging_pages=self.ksm_merging_pages,
            ksm_zero_pages=self.ksm_zero_pages,
        )
        finest = sample.MIN_SHIFT if shift is None else shift
        low = self.ids
        if finest > 0:
            low = low[: np.searchsorted(low, np.uint64(1 << (64 - finest)))]
        unique = np.unique(low)
        return sample.Sample.of_unique(
            unique[unique != zero], counters, shift=shift, seed=self.seed
        )


def scan(
    process: Process,
    *,
    seed: int = 0,
    stop: threading.Event | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scan:
    """Read and hash every page of a process that KSM may merge.

    :param seed: the cloud's public seed of page ids
    :param stop: set to give the scan up
    :param progress: told, block by block, how many of how many bytes are done
    :raises NoFingerprint: if the process has nothing to merge, may not be read,
        or ended meanwhile
    :raises ScanInterrupted: if ``stop`` was set
    """
    started = time.perf_counter()
    with ProcessFiles(process) as files:
        mappings = smaps.parse(files.text("smaps"))
        reason = smaps.reason_against(mappings)
        if reason is not None:
            raise NoFingerprint(reason)
        mergeable = smaps.mergeable(mappings)
        mergeable_bytes = sum(mapping.size_bytes for mapping in mergeable)
        # A merged page whose other holders have gone is mapped by nobody else,
        # and pinning it would un-merge it all the same.
        pinning = _ksm_counts(files)[0] == 0
        with contextlib.closing(
            _Pass(files, mergeable_bytes // page.PAGE_SIZE, seed, pinning)
        ) as reading:
            done_bytes = 0
            for start, pages in itertools.chain.from_iterable(map(_blocks, mergeable)):
                if stop is not None and stop.is_set():
                    raise ScanInterrupted("the agent is stopping")
                reading.read_block(start, pages)
                done_bytes += pages * page.PAGE_SIZE
                if progress is not None:
                    progress(done_bytes, mergeable_bytes)
        # Whatever was read after the process ended, or from a later one with
        # its pid, is thrown away here.
        files.check_alive()
        merging, zero = _ksm_counts(files)
    return Scan(
        ids=reading.ids(),
        seed=seed,
        kernel_zero_pages=reading.kernel_zero_pages,
        mergeable_bytes=mergeable_bytes,
        ksm_merging_pages=merging,
        ksm_zero_pages=zero,
        seconds=time.perf_counter() - started,
        reading_seconds=reading.reading_seconds,
    )


class _Pass:
    """One pass over a process's mergeable memory, block by block.

    :param pages: of the mergeable mappings
    :param pinning: whether pages that nobody else maps may be pinned
    """

    def __init__(
        self, files: ProcessFiles, pages: int, seed: int, pinning: bool
    ) -> None:
        self._seed = seed
        self._pinning = pinning
        self._zero_frame = pagemap.zero_frame()
        # The kernel gives memory to this array only where ids are written.
        self._ids = np.empty(pages, dtype=np.uint64)
        self._count = 0
        self.kernel_zero_pages = 0
        self.reading_seconds = 0.0
        with contextlib.ExitStack() as opened:
            self._pagemap = pagemap.PageMap(files)
            opened.callback(self._pagemap.close)
            self._reader = memory.PageReader(files)
            opened.callback(self._reader.close)
            self._frame_flags = pagemap.FrameFlags()
            opened.callback(self._frame_flags.close)
            self.close = opened.pop_all().close

    def ids(self) -> page.Ids:
        """The ids of the pages looked at so far."""
        return self._ids[: self._count]

    def read_block(self, start: int, pages: int) -> None:
        """Read and hash the present pages of one block."""
        entries = self._pagemap.entries(start, pages)
        present = pagemap.present(entries)
        if not present.any():
            return
        exclusive = present & pagemap.exclusive(entries)
        mapped_elsewhere = present & ~exclusive
        if mapped_elsewhere.any():
            frames = pagemap.frames(entries)
            present &= ~self._kernel_zero(mapped_elsewhere, frames)
        pinned = exclusive if self._pinning else np.zeros_like(exclusive)
        before = time.perf_counter()
        data = self._reader.copy_pages(
            start, np.flatnonzero(pinned), np.flatnonzero(present & ~pinned)
        )
        self.reading_seconds += time.perf_counter() - before
        self._append(page.page_ids(data, self._seed))

    def _kernel_zero(self, pages: Mask, frames: pagemap.Entries) -> Mask:
        """Which pages of a block are the kernel's own zero page: not read."""
        zero = pages & (frames == self._zero_frame)
        # The huge zero page shows as frames in a row, which merged pages never
        # are over a whole block.
        if (
            pages.all()
            and (np.diff(frames) == 1).all()
            and self._frame_flags.is_kernel_zero(int(frames[0]))
        ):
            zero = pages
        count = int(np.count_nonzero(zero))
        if count:
            self.kernel_zero_pages += count
            self._append(np.full(count, page.zero_page_id(self._seed), np.uint64))
        return zero

    def _append(self, ids: page.Ids) -> None:
        self._ids[self._count : self._count + len(ids)] = ids
        self._count += len(ids)


def _blocks(mapping: smaps.Mapping) -> Iterator[tuple[int, int]]:
    """Start and pages of each block of a mapping, aligned to blocks."""
    start = mapping.start
    while start < mapping.end:
        end = min((start // _BLOCK_BYTES + 1) * _BLOCK_BYTES, mapping.end)
        yield start, (end - start) // page.PAGE_SIZE
        start = end


def _ksm_counts(files: ProcessFiles) -> tuple[int | None, int | None]:
    """KSM's own view of the process: merging pages, zero pages.

    Both are None on a kernel without /proc/PID/ksm_stat (before 6.1).
    """
    try:
        text = files.text("ksm_stat")
    except NoFingerprint:
        files.check_alive()
        return None, None
    counts = dict(line.split()[:2] for line in text.splitlines() if line.strip())
    merging = counts.get("ksm_merging_pages")
    zero = counts.get("ksm_zero_pages")
    return (
        None if merging is None else int(merging),
        None if zero is None else int(zero),
    )
