# SPDX-License-Identifier: Apache-2.0
"""How the C extension treats its caller: lock, buffers, and the size of its steps.

What it finds is tested together with the reader in Python (test_stretch).
"""

import contextlib
import ctypes
import errno
import mmap
import os
import pathlib
import threading

import numpy as np
import pytest

from membuddies_agent import _scan, memory
from membuddies_nova.fingerprint.page import PAGE_SIZE

BLOCKS_BYTES = 1 << 20
PAGES = 16 * memory.BLOCK_PAGES
LARGE_PAGES = 32 * PAGES


@contextlib.contextmanager
def present_memory(pages: int):
    """Present pages of this process: the arguments to read them with."""
    descriptors = [
        os.open(f"/proc/self/{name}", os.O_RDONLY) for name in ("pagemap", "mem")
    ]
    # One block more, so that whole blocks can be aligned inside of it.
    size_bytes = (pages + memory.BLOCK_PAGES) * PAGE_SIZE
    with mmap.mmap(-1, size_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
        area.madvise(mmap.MADV_NOHUGEPAGE)
        view = ctypes.c_char.from_buffer(area)
        address = ctypes.addressof(view)
        ctypes.memset(address, 1, size_bytes)
        block_bytes = memory.BLOCK_PAGES * PAGE_SIZE
        yield {
            "pid": os.getpid(),
            "pagemap": descriptors[0],
            "memory": descriptors[1],
            "frame_flags": -1,
            "start": (address + block_bytes - 1) // block_bytes * block_bytes,
            "pages": pages,
            "seed": 0,
            "pinning": False,
            "zero_frame": 0,
            "blocks": bytearray(BLOCKS_BYTES),
            "ids": np.zeros(pages, dtype=np.uint64),
        }
        del view
    for descriptor in descriptors:
        os.close(descriptor)


def read_calls() -> int:
    """How often this thread has asked the kernel to read something."""
    lines = pathlib.Path("/proc/thread-self/io").read_text("ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["syscr"])


def test_pagemap_is_read_anew_for_each_block_of_256_kib():
    with present_memory(PAGES) as arguments:
        cost = -read_calls() + read_calls()
        before = read_calls()
        pages, _, _ = _scan.read_stretch(**arguments)
        calls = read_calls() - before - cost
    assert pages == PAGES
    # For each block one look at pagemap and, in one run, one read of memory.
    assert calls == 2 * PAGES // memory.BLOCK_PAGES


def test_other_threads_go_on_while_it_reads():
    """This one sees the first id and no last one: it was let run in between."""

    def sees_half_of_it(arguments) -> bool:
        ids = arguments["ids"]
        ids[:] = 0
        reader = threading.Thread(target=_scan.read_stretch, kwargs=arguments)
        reader.start()
        seen = False
        while reader.is_alive():
            seen |= bool(ids[0]) and not ids[-1]
        assert ids.all()
        return seen

    # On a busy machine this thread may not run during one read, but during some.
    with present_memory(LARGE_PAGES) as arguments:
        assert any(sees_half_of_it(arguments) for _ in range(20))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({}, None),
        ({"start": 1}, ValueError),
        ({"pages": PAGES + 1}, ValueError),
        ({"pagemap": -1}, OSError),
        ({"memory": -1}, OSError),
        ({"pid": "one"}, TypeError),
    ],
    ids=["done", "address", "room", "pagemap", "memory", "type"],
)
def test_its_buffers_are_given_back_on_every_path(change, error):
    with present_memory(PAGES) as arguments:
        blocks, ids = bytearray(BLOCKS_BYTES), bytearray(8 * PAGES)
        call = {**arguments, "blocks": blocks, "ids": ids, **change}
        if error is None:
            _scan.read_stretch(**call)
        else:
            with pytest.raises(error):
                _scan.read_stretch(**call)
    # A buffer that somebody still holds cannot change its size.
    blocks.clear()
    ids.clear()


def test_a_process_that_is_gone_is_told_at_the_first_page():
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    with present_memory(PAGES) as arguments:
        ids = arguments["ids"]
        with pytest.raises(ProcessLookupError) as raised:
            _scan.read_stretch(**{**arguments, "pid": child, "pinning": True})
    assert raised.value.errno == errno.ESRCH
    assert not ids.any()
