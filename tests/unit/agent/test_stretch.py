# SPDX-License-Identifier: Apache-2.0
"""Both readers on memory of our own, under a pagemap that a test writes.

So they meet what no test can order from the kernel: every pattern of present,
exclusive and zero pages, pages that leave between pagemap and read, and files
that end too early.
"""

import ctypes
import dataclasses
import mmap
import os
import pathlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from membuddies_agent import _scan, pagemap, procfs, stretch
from membuddies_agent.compiled import CompiledReader
from membuddies_agent.errors import NoFingerprint
from membuddies_agent.stretch import PythonReader
from membuddies_nova.facts import Reason
from membuddies_nova.fingerprint import page
from membuddies_nova.fingerprint.page import PAGE_SIZE

PAGES = 200
ZERO_FRAME = 7
PRESENT = 1 << 63
EXCLUSIVE = 1 << 56
HOLE = -1
"""A page that pagemap shows although it has left."""

READERS = [PythonReader, CompiledReader]

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = (
    *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int),
    *(ctypes.c_int, ctypes.c_int, ctypes.c_long),
)
MAP_FIXED = 0x10


@dataclasses.dataclass
class OwnMemory:
    """Memory of this process, and a directory that stands for its /proc."""

    root: pathlib.Path
    memory: mmap.mmap
    address: int
    empty_file: int

    def write(self, contents: list[int]) -> None:
        """Fill each page with a number; a hole where it cannot be read."""
        pages = libc.mmap(
            self.address,
            PAGES * PAGE_SIZE,
            mmap.PROT_READ | mmap.PROT_WRITE,
            mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED,
            -1,
            0,
        )
        assert pages == self.address
        for number, content in enumerate(contents):
            address = self.address + number * PAGE_SIZE
            if content == HOLE:
                # Behind the end of a file nobody can read.
                flags = mmap.MAP_PRIVATE | MAP_FIXED
                libc.mmap(address, PAGE_SIZE, mmap.PROT_READ, flags, self.empty_file, 0)
            else:
                ctypes.memset(address, content, PAGE_SIZE)

    def write_pagemap(self, entries: list[int], address: int | None = None) -> None:
        start = (address or self.address) // PAGE_SIZE * pagemap.ENTRY_BYTES
        with (self.root / str(os.getpid()) / "pagemap").open("wb") as file:
            file.seek(start)
            file.write(np.array(entries, dtype=np.uint64).tobytes())

    def read(
        self,
        reader_class: type[stretch.StretchReader],
        *,
        first: int = 0,
        seed: int = 0,
        pinning: bool = False,
        pages: int = PAGES,
    ) -> tuple[list[int], int]:
        """Sorted ids, and how many are of the kernel's zero page."""
        ids = np.zeros(pages - first, dtype=np.uint64)
        start = self.address + first * PAGE_SIZE
        process = procfs.process(os.getpid())
        with procfs.ProcessFiles(process, self.root) as files:
            reader = reader_class(files, seed, pinning=pinning)
            try:
                found = reader.read(start, ids)
            finally:
                reader.close()
        assert not ids[found.pages :].any()
        return sorted(ids[: found.pages].tolist()), found.kernel_zero_pages


@pytest.fixture
def own(tmp_path, monkeypatch):
    directory = tmp_path / str(os.getpid())
    directory.mkdir()
    for name in ("stat", "mem"):
        (directory / name).symlink_to(f"/proc/{os.getpid()}/{name}")
    monkeypatch.setattr(pagemap, "zero_frame", lambda: ZERO_FRAME)
    empty_file = os.memfd_create("empty")
    with mmap.mmap(-1, PAGES * PAGE_SIZE, mmap.MAP_PRIVATE) as memory:
        view = ctypes.c_char.from_buffer(memory)
        yield OwnMemory(tmp_path, memory, ctypes.addressof(view), empty_file)
        del view
    os.close(empty_file)


contents = st.lists(
    st.sampled_from([0, 1, 2, 3, 250, HOLE]), min_size=PAGES, max_size=PAGES
)
bits = st.lists(
    st.sampled_from(
        [
            *(0, EXCLUSIVE, ZERO_FRAME),
            *(PRESENT, PRESENT | 5, PRESENT | EXCLUSIVE),
            PRESENT | ZERO_FRAME,
            PRESENT | EXCLUSIVE | ZERO_FRAME,
        ]
    ),
    min_size=PAGES,
    max_size=PAGES,
)
# Whole stretches of one kind, as a guest's memory mostly is.
runs = st.lists(
    st.tuples(
        st.sampled_from([0, PRESENT, PRESENT | EXCLUSIVE]), st.integers(1, PAGES)
    ),
    min_size=1,
    max_size=8,
).map(
    lambda parts: ([each for each, count in parts for _ in range(count)] * PAGES)[
        :PAGES
    ]
)


def expected(
    contents: list[int], entries: list[int], seed: int
) -> tuple[list[int], int]:
    ids, kernel_zero_pages = [], 0
    for content, entry in zip(contents, entries, strict=True):
        if not entry & PRESENT:
            continue
        if entry & ~PRESENT == ZERO_FRAME:
            kernel_zero_pages += 1
            ids.append(page.zero_page_id(seed))
        elif content != HOLE:
            ids.extend(page.page_ids(bytes([content]) * PAGE_SIZE, seed).tolist())
    return sorted(ids), kernel_zero_pages


@pytest.mark.parametrize("pinning", [False, True])
@pytest.mark.parametrize("reader", READERS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    contents=contents,
    entries=st.one_of(bits, runs),
    first=st.integers(0, PAGES - 1),
    seed=st.integers(0, 2**64 - 1),
)
def test_what_pagemap_shows_is_read_and_hashed(
    own, reader, pinning, contents, entries, first, seed
):
    own.write(contents)
    own.write_pagemap(entries)
    found = own.read(reader, first=first, seed=seed, pinning=pinning)
    assert found == expected(contents[first:], entries[first:], seed)


@pytest.mark.parametrize("reader", READERS)
def test_the_huge_zero_page_is_asked_of_the_kernel(own, reader, monkeypatch):
    # The frames of one block, in a row; what they are, this file says.
    own.write([1] * PAGES)
    start = own.address // PAGE_SIZE
    entries = [PRESENT | (1000 + start + number) for number in range(PAGES)]
    own.write_pagemap(entries)
    flags = own.root / "kpageflags"
    with flags.open("wb") as file:
        file.seek((1000 + start) * 8)
        file.write(np.full(PAGES, 1 << 24, dtype=np.uint64).tobytes())
    monkeypatch.setattr(pagemap, "_KPAGEFLAGS", str(flags))
    assert own.read(reader) == ([page.zero_page_id()] * PAGES, PAGES)

    entries[100] = PRESENT | 5
    own.write_pagemap(entries)
    _, kernel_zero_pages = own.read(reader)
    assert PAGES - 64 <= kernel_zero_pages < PAGES


@pytest.mark.parametrize("reader", READERS)
def test_a_pagemap_that_ends_means_that_the_process_has(own, reader):
    own.write([1] * PAGES)
    own.write_pagemap([PRESENT] * (PAGES - 1))
    with pytest.raises(NoFingerprint) as raised:
        own.read(reader)
    assert raised.value.reason is Reason.GONE
    assert str(raised.value) == f"process {os.getpid()} has ended"


@pytest.mark.parametrize("reader", READERS)
def test_memory_that_ends_means_that_the_process_has(own, reader):
    own.write([1] * PAGES)
    own.write_pagemap([PRESENT] * PAGES)
    memory = own.root / str(os.getpid()) / "mem"
    memory.unlink()
    memory.write_bytes(b"")
    with pytest.raises(NoFingerprint) as raised:
        own.read(reader)
    assert raised.value.reason is Reason.GONE


@pytest.mark.parametrize("reader", READERS)
def test_memory_that_may_not_be_read_is_a_sentence(own, reader):
    own.write([1] * PAGES)
    own.write_pagemap([PRESENT] * PAGES)
    memory = own.root / str(os.getpid()) / "mem"
    memory.unlink()
    memory.mkdir()
    with pytest.raises(NoFingerprint) as raised:
        own.read(reader)
    assert raised.value.reason is Reason.UNREADABLE
    assert str(raised.value).startswith(f"the memory of process {os.getpid()} cannot")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("missing", ["pagemap", "mem"])
def test_a_reader_that_cannot_open_a_file_leaves_none_open(own, reader, missing):
    own.write_pagemap([])
    (own.root / str(os.getpid()) / missing).unlink()
    before = os.listdir("/proc/self/fd")
    with pytest.raises(NoFingerprint):
        own.read(reader)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": 1},
        {"start": 1 << 63},
        {"start": 0, "pages": 1 << 60},
        {"pages": 65},
        {"blocks": bytearray(256 * PAGE_SIZE - 1)},
        {"ids": np.zeros(8 * 64 + 8, dtype=np.uint8)[1:]},
    ],
)
def test_the_extension_refuses_what_it_could_overrun(wrong):
    sound = {
        **dict.fromkeys(("pagemap", "memory", "frame_flags"), -1),
        **{"pid": os.getpid(), "start": 0, "pages": 64, "seed": 0},
        **{"pinning": False, "zero_frame": 0, "blocks": bytearray(256 * PAGE_SIZE)},
        "ids": np.zeros(64, dtype=np.uint64),
    }
    with pytest.raises(ValueError):
        _scan.read_stretch(**(sound | wrong))
    with pytest.raises(OSError, match="Bad file descriptor"):
        _scan.read_stretch(**sound)
