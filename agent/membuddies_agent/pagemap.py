# SPDX-License-Identifier: Apache-2.0
"""What the kernel tells of each page: pagemap of a process, flags of a frame.

For the memory reader, which must know before it touches a page whether the
touch is harmless. Bits as in Documentation/admin-guide/mm/pagemap.rst. Nothing
here reads a page or changes one.
"""

import functools
import mmap
import os
import sys

import numpy as np
import numpy.typing as npt

from membuddies_agent.errors import NoFingerprint
from membuddies_agent.procfs import ProcessFiles
from membuddies_nova.facts import Reason
from membuddies_nova.fingerprint.page import PAGE_SIZE

Entries = npt.NDArray[np.uint64]
"""Pagemap entries of consecutive pages."""

ENTRY_BYTES = 8

_FRAME = np.uint64((1 << 55) - 1)
_EXCLUSIVE = np.uint64(1 << 56)
_SWAPPED = np.uint64(1 << 62)
_PRESENT = np.uint64(1 << 63)

_KPAGEFLAGS = "/proc/kpageflags"
_ZERO_PAGE_BIT = 24


class PageMap:
    """The open pagemap of one process.

    :raises NoFingerprint: if the process has ended or may not be read
    """

    def __init__(self, files: ProcessFiles) -> None:
        self._process = files.process
        self._descriptor = files.open("pagemap")

    def close(self) -> None:
        os.close(self._descriptor)

    def entries(self, address: int, pages: int) -> Entries:
        """The entries of consecutive pages, as they are now.

        :raises NoFingerprint: if the process has ended
        """
        entries = _read(self._descriptor, address, pages)
        if len(entries) < pages:
            # The file belongs to that process's memory, not to its pid.
            raise NoFingerprint(Reason.GONE, f"process {self._process.pid} has ended")
        return entries


def _read(descriptor: int, address: int, pages: int) -> Entries:
    data = os.pread(descriptor, pages * ENTRY_BYTES, address // PAGE_SIZE * ENTRY_BYTES)
    return np.frombuffer(data, dtype=np.uint64)


def present(entries: Entries) -> npt.NDArray[np.bool_]:
    """Pages that are in memory.

    All others must not be read: that would allocate them or swap them in.
    """
    return (entries & _PRESENT) != 0


def swapped(entries: Entries) -> npt.NDArray[np.bool_]:
    """Pages that are in swap, or on the way to another frame."""
    return (entries & _SWAPPED) != 0


def exclusive(entries: Entries) -> npt.NDArray[np.bool_]:
    """Pages whose frame nobody else maps."""
    return (entries & _EXCLUSIVE) != 0


def frames(entries: Entries) -> Entries:
    """Frame numbers of present pages; all 0 without CAP_SYS_ADMIN."""
    return entries & _FRAME


@functools.cache
def zero_frame() -> int | None:
    """The frame of the kernel's zero page, None if frames are hidden.

    It is found by looking at a page of our own that was read, never written.
    """
    with mmap.mmap(-1, PAGE_SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.read(1)
        address = np.frombuffer(memory, dtype=np.uint8).ctypes.data
        descriptor = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        try:
            entry = _read(descriptor, address, 1)
        finally:
            os.close(descriptor)
    return int(frames(entry)[0]) or None


class FrameFlags:
    """The kernel's flags of page frames, as far as the agent may see them.

    :ivar descriptor: of the open file, None where the agent may not open it
    """

    def __init__(self) -> None:
        self.descriptor: int | None
        try:
            self.descriptor = os.open(_KPAGEFLAGS, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            # Not root, or a kernel without the file: no frame is told apart.
            self.descriptor = None

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)

    def is_kernel_zero(self, frame: int) -> bool:
        """Whether a frame belongs to the kernel's zero page, small or huge."""
        if self.descriptor is None:
            return False
        data = os.pread(self.descriptor, ENTRY_BYTES, frame * ENTRY_BYTES)
        return bool(int.from_bytes(data, sys.byteorder) >> _ZERO_PAGE_BIT & 1)
