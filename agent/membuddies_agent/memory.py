# SPDX-License-Identifier: Apache-2.0
"""Reading the pages of another process without changing anything there.

For the scan. A page that is present and mapped by nobody else may be read with
process_vm_readv(2). It pins the page for a moment, and pinning a page that KSM
merged un-merges it (mm/internal.h, gup_must_unshare). So every other present
page is read with pread(2) on /proc/PID/mem, which does not pin; so is all of a
process of which KSM has merged pages, because a merged page whose other holders
have gone is mapped by nobody else either.

Pages that are not present are never read: the kernel would allocate them or
swap them in. Two races remain. A page that leaves between the look at pagemap
and the read may still be brought back; blocks are small so that this stays
rare. And the first page that KSM merges in a process while it is scanned may be
un-merged if its other holder goes in the same moment; KSM merges it again.
"""

import ctypes
import errno
import os

import numpy as np
import numpy.typing as npt

from membuddies_agent import capabilities
from membuddies_agent.errors import NoFingerprint
from membuddies_agent.procfs import ProcessFiles
from membuddies_nova.facts import Reason
from membuddies_nova.fingerprint.page import PAGE_SIZE

BLOCK_PAGES = 64
"""Pages looked at and read together: 256 KiB."""

Indices = npt.NDArray[np.intp]
"""Positions of pages in a block, ascending."""

# Errors that mean no more than that a page has left meanwhile.
_LEFT = (errno.EFAULT, errno.EIO, errno.ENOMEM)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.process_vm_readv.restype = ctypes.c_ssize_t
_libc.process_vm_readv.argtypes = (
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_ulong,
)


class PageReader:
    """Copies chosen pages of one process, a block at a time, into one buffer.

    :param files: of the process
    :raises NoFingerprint: if it has ended or may not be read
    """

    def __init__(self, files: ProcessFiles) -> None:
        self._pid = files.process.pid
        self._memory = files.open("mem")
        self._block = np.empty(BLOCK_PAGES * PAGE_SIZE, dtype=np.uint8)
        self._buffer = self._block.data
        self._address = self._block.ctypes.data
        self._pages = [
            self._buffer[number * PAGE_SIZE : (number + 1) * PAGE_SIZE]
            for number in range(BLOCK_PAGES)
        ]

    def close(self) -> None:
        os.close(self._memory)

    def copy_pages(
        self, start: int, pinned: Indices, unpinned: Indices
    ) -> list[memoryview]:
        """Copy present pages of a block.

        :param start: address of the block's first page
        :param pinned: pages to read with process_vm_readv
        :param unpinned: pages to read through /proc/PID/mem
        :returns: the pages, valid until the next call; those that have left the
            process meanwhile are not among them
        :raises NoFingerprint: if the process has ended
        """
        copied = self._copy_pinned(start, pinned)
        copied += self._copy_unpinned(start, unpinned, copied)
        return self._pages[:copied]

    def _copy_pinned(self, start: int, indices: Indices) -> int:
        copied = 0
        while len(indices):
            remote = _ranges(start, indices)
            local = np.array(
                [self._address + copied * PAGE_SIZE, len(indices) * PAGE_SIZE],
                dtype=np.uint64,
            )
            done = _libc.process_vm_readv(
                self._pid, local.ctypes.data, 1, remote.ctypes.data, len(remote), 0
            )
            if done < 0 and (code := ctypes.get_errno()) not in _LEFT:
                raise refusal(self._pid, code)
            pages = max(done, 0) // PAGE_SIZE
            copied += pages
            # What stopped the copy is the page behind: it has left.
            indices = indices[pages + 1 :]
        return copied

    def _copy_unpinned(self, start: int, indices: Indices, offset: int) -> int:
        copied = 0
        while len(indices):
            address, length = (int(value) for value in _ranges(start, indices)[0])
            begin = (offset + copied) * PAGE_SIZE
            try:
                done = os.preadv(
                    self._memory, [self._buffer[begin : begin + length]], address
                )
            except OSError as error:
                if error.errno not in _LEFT:
                    raise refusal(self._pid, error.errno) from None
                done = 0
            else:
                if done == 0:
                    raise refusal(self._pid, errno.ESRCH)
            pages = done // PAGE_SIZE
            copied += pages
            indices = indices[pages + (done < length) :]
        return copied


def refusal(pid: int, code: int | None) -> NoFingerprint:
    """Why the kernel does not let a process's memory be read.

    :param code: its error number
    """
    if code == errno.ESRCH:
        return NoFingerprint(Reason.GONE, f"process {pid} has ended")
    return NoFingerprint(
        Reason.UNREADABLE, capabilities.refusal(f"the memory of process {pid}")
    )


def _ranges(start: int, indices: Indices) -> npt.NDArray[np.uint64]:
    """Runs of neighbouring pages as (address, bytes), which is struct iovec."""
    breaks = (indices[1:] - indices[:-1] != 1).nonzero()[0] + 1
    first = np.zeros(len(breaks) + 1, dtype=np.intp)
    first[1:] = breaks
    ranges = np.empty((len(first), 2), dtype=np.uint64)
    ranges[:, 0] = start + indices[first] * PAGE_SIZE
    ranges[:-1, 1] = (first[1:] - first[:-1]) * PAGE_SIZE
    ranges[-1, 1] = (len(indices) - first[-1]) * PAGE_SIZE
    return ranges
