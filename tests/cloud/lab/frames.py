# SPDX-License-Identifier: Apache-2.0
"""Physical frames behind the guests' memory, counted host by host.

One kernel serves all hosts of the lab and merges across them.  What separate hosts
would spend is counted here: per host, the distinct frames of its guests' mergeable
pages.  A frame shared with another host's guests counts on each of them.

Sources: the kernel's Documentation/admin-guide/mm/pagemap.rst and
Documentation/filesystems/proc.rst (VmFlags).  Reads page tables only, never memory.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .layout import Layout, Place
from .namespaces import pids_of

PAGE_BYTES = 4096
_FRAME_MASK = np.uint64((1 << 55) - 1)
_PRESENT = np.uint64(1 << 63)
_KSM = np.uint64(1 << 21)
_ZERO_PAGE = np.uint64(1 << 24)
_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) ")
_INSTANCE = re.compile(rb"\0-uuid\0([0-9a-f-]{36})\0")


@dataclass(frozen=True)
class FrameCount:
    """What a set of guests on one host occupies.

    ``present_pages`` counts each guest's mapped mergeable pages; ``zero_pages`` of
    them are the kernel's own zero page, which costs nothing; ``frames`` are the
    distinct frames behind the others, ``ksm_frames`` of them KSM's.
    """

    present_pages: int
    zero_pages: int
    frames: int
    ksm_frames: int

    @property
    def mb(self) -> float:
        """Physical memory in MB (2^20 bytes)."""
        return self.frames * PAGE_BYTES / 2**20


def guests_on(layout: Layout, host: Place) -> dict[str, int]:
    """Instance uuid -> QEMU's pid, numbered as outside, of the guests on a host."""
    found = {}
    for pid in pids_of(layout, host):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        match = _INSTANCE.search(command)
        if match:
            found[match.group(1).decode()] = pid
    return found


def mergeable_ranges(pid: int) -> list[tuple[int, int]]:
    """Start and end addresses of the mappings that KSM may merge (flag ``mg``)."""
    ranges = []
    current = (0, 0)
    with open(f"/proc/{pid}/smaps") as smaps:
        for line in smaps:
            match = _MAPPING.match(line)
            if match:
                current = (int(match.group(1), 16), int(match.group(2), 16))
            elif line.startswith("VmFlags:") and " mg" in line:
                ranges.append(current)
    return ranges


def count(pids: Iterable[int]) -> FrameCount:
    """Counts the frames of guests that share one host."""
    mapped = [_mapped_frames(pid) for pid in pids]
    if not mapped:
        return FrameCount(0, 0, 0, 0)
    frames, uses = np.unique(np.concatenate(mapped), return_counts=True)
    flags = _frame_flags(frames)
    is_zero_page = (flags & _ZERO_PAGE) != 0
    is_ksm = (flags & _KSM) != 0
    return FrameCount(
        present_pages=int(uses.sum()),
        zero_pages=int(uses[is_zero_page].sum()),
        frames=int((~is_zero_page).sum()),
        ksm_frames=int((is_ksm & ~is_zero_page).sum()),
    )


def count_hosts(layout: Layout, hosts: Sequence[Place]) -> dict[str, FrameCount]:
    """Counts each host's guests; keys are the hosts as Nova spells them."""
    return {
        host.service_host: count(guests_on(layout, host).values()) for host in hosts
    }


def shared_with_hosts(
    layout: Layout, hosts: Sequence[Place], guest: str
) -> dict[str, int]:
    """Distinct frames that a guest has in common with each host's other guests.

    The kernel merges across the lab's hosts, so this tells what the guest shares
    with guests of hosts that it is not on, too.  The kernel's zero page is left out.

    :param guest: the instance's uuid
    """
    guests = {host.service_host: guests_on(layout, host) for host in hosts}
    pid = next(pids[guest] for pids in guests.values() if guest in pids)
    own = np.unique(_mapped_frames(pid))
    own = own[(_frame_flags(own) & _ZERO_PAGE) == 0]
    shared = {}
    for host, pids in guests.items():
        others = [_mapped_frames(pid) for uuid, pid in pids.items() if uuid != guest]
        frames = np.unique(np.concatenate([*others, np.empty(0, np.uint64)]))
        shared[host] = len(np.intersect1d(own, frames, assume_unique=True))
    return shared


def _mapped_frames(pid: int) -> NDArray[np.uint64]:
    """The frame number of every present page of the mergeable mappings."""
    parts = []
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        for start, end in mergeable_ranges(pid):
            pages = (end - start) // PAGE_BYTES
            pagemap.seek(start // PAGE_BYTES * 8)
            parts.append(np.frombuffer(pagemap.read(pages * 8), dtype=np.uint64))
    entries = np.concatenate([*parts, np.empty(0, dtype=np.uint64)])
    frames: NDArray[np.uint64] = entries[(entries & _PRESENT) != 0] & _FRAME_MASK
    return frames


def _frame_flags(frames: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The kernel's flags of each of the sorted, distinct frames."""
    flags = np.empty(len(frames), dtype=np.uint64)
    # One read for each run of frames that follow each other.
    breaks = np.flatnonzero(np.diff(frames) != 1) + 1
    with open("/proc/kpageflags", "rb", buffering=0) as kpageflags:
        for run in np.split(np.arange(len(frames)), breaks):
            if len(run):
                kpageflags.seek(int(frames[run[0]]) * 8)
                data = kpageflags.read(len(run) * 8)
                flags[run] = np.frombuffer(data, dtype=np.uint64)
    return flags
