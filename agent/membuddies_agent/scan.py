# SPDX-License-Identifier: Apache-2.0
"""One scan of one process: the ids of exactly the pages that KSM may merge.

The agent scans guests with it, ``membuddies fingerprint`` any process. It looks
at the mergeable mappings stretch by stretch, reads what is present, and hashes
each page, in C where the extension was built. It never stops, grows or writes
the process, never reads a page that is absent or swapped out, and never
un-merges a page. What takes the place of a mapping while a scan is under way can
be read for about a second, then the scan notices.

Memory: 8 bytes for each present page and one block of 256 KiB.
"""

import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

from membuddies_agent import smaps
from membuddies_agent.errors import NoFingerprint, ScanInterrupted
from membuddies_agent.procfs import Process, ProcessFiles
from membuddies_agent.stretch import PythonReader, StretchReader
from membuddies_nova.facts import Reason
from membuddies_nova.fingerprint import page, sample

READER: type[StretchReader]
"""How this installation reads: in C, or in Python where that was not built."""
try:
    from membuddies_agent.compiled import CompiledReader as READER
except ImportError:
    READER = PythonReader

STRETCH_BYTES = 16 << 20
"""Read between two looks at whether to stop."""

LOOK_AGAIN_SECONDS = 1.0
"""A scan that takes its time looks again, no sooner, which mappings there are;"""
LOOK_AGAIN_COSTS = 50.0
"""and no sooner than so many times as long as that look takes."""


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
    throttle: Callable[[int], None] | None = None,
) -> Scan:
    """Read and hash every page of a process that KSM may merge.

    :param seed: the cloud's public seed of page ids
    :param stop: set to give the scan up
    :param progress: told, stretch by stretch, how many of how many bytes are done
    :param throttle: told, stretch by stretch, how many bytes were read; it may
        take its time
    :raises NoFingerprint: if the process has nothing to merge, may not be read,
        or ended meanwhile
    :raises ScanInterrupted: if ``stop`` was set
    """
    started = time.perf_counter()
    with ProcessFiles(process) as files:
        mappings = _Mappings(files)
        mergeable = mappings.mergeable
        mergeable_bytes = sum(mapping.size_bytes for mapping in mergeable)
        # A merged page whose other holders have gone is mapped by nobody else,
        # and pinning it would un-merge it all the same.
        pinning = _ksm_counts(files)[0] == 0
        # The kernel gives memory to this array only where ids are written.
        ids = np.empty(mergeable_bytes // page.PAGE_SIZE, dtype=np.uint64)
        count = kernel_zero_pages = done_bytes = 0
        reading_seconds = 0.0
        with contextlib.closing(READER(files, seed, pinning=pinning)) as reader:
            for start, pages in itertools.chain.from_iterable(
                map(_stretches, mergeable)
            ):
                if stop is not None and stop.is_set():
                    raise ScanInterrupted("the agent is stopping")
                read_pages = 0
                for begin, length in mappings.still_mergeable(start, pages):
                    found = reader.read(begin, ids[count : count + length])
                    count += found.pages
                    kernel_zero_pages += found.kernel_zero_pages
                    reading_seconds += found.reading_seconds
                    read_pages += found.pages - found.kernel_zero_pages
                done_bytes += pages * page.PAGE_SIZE
                if progress is not None:
                    progress(done_bytes, mergeable_bytes)
                if throttle is not None:
                    throttle(read_pages * page.PAGE_SIZE)
        # Whatever was read after the process ended, or from a later one with
        # its pid, is thrown away here.
        files.check_alive()
        merging, zero = _ksm_counts(files)
    return Scan(
        ids=ids[:count],
        seed=seed,
        kernel_zero_pages=kernel_zero_pages,
        mergeable_bytes=mergeable_bytes,
        ksm_merging_pages=merging,
        ksm_zero_pages=zero,
        seconds=time.perf_counter() - started,
        reading_seconds=reading_seconds,
    )


class _Mappings:
    """The mergeable mappings of a process, looked up again now and then.

    :ivar mergeable: by the newest look, in order of their addresses
    :raises NoFingerprint: if nothing is mergeable, or the process has ended
    """

    def __init__(self, files: ProcessFiles) -> None:
        self._files = files
        mappings = self._look()
        reason = smaps.reason_against(mappings)
        if reason is not None:
            raise NoFingerprint(reason)

    def still_mergeable(self, start: int, pages: int) -> Iterator[tuple[int, int]]:
        """Address and pages of what is mergeable of a stretch."""
        if time.monotonic() >= self._look_again_at:
            self._look()
        end = start + pages * page.PAGE_SIZE
        for mapping in self.mergeable:
            low, high = max(start, mapping.start), min(end, mapping.end)
            if low < high:
                yield low, (high - low) // page.PAGE_SIZE

    def _look(self) -> list[smaps.Mapping]:
        before = time.monotonic()
        mappings = smaps.parse(self._files.text("smaps"))
        if not mappings:
            # It has ended, though its pid stands until its parent has looked.
            pid = self._files.process.pid
            raise NoFingerprint(Reason.GONE, f"process {pid} has ended")
        self.mergeable = smaps.mergeable(mappings)
        now = time.monotonic()
        wait_seconds = max(LOOK_AGAIN_SECONDS, (now - before) * LOOK_AGAIN_COSTS)
        self._look_again_at = now + wait_seconds
        return mappings


def _stretches(mapping: smaps.Mapping) -> Iterator[tuple[int, int]]:
    """Address and pages of each stretch of a mapping, aligned to stretches."""
    start = mapping.start
    while start < mapping.end:
        end = min((start // STRETCH_BYTES + 1) * STRETCH_BYTES, mapping.end)
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
