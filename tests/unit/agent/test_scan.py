# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from membuddies_agent import compiled, memory, scan, smaps, stretch
from membuddies_nova.fingerprint import page, sample

ZERO = page.zero_page_id()
ids = st.lists(
    st.one_of(
        st.just(ZERO),
        st.integers(0, 2**64 - 1),
        st.integers(0, 63).map(lambda bits: (2**64 - 1) >> bits),
    ),
    max_size=200,
)


def scan_of(values: page.Ids) -> scan.Scan:
    return scan.Scan(
        ids=values,
        seed=0,
        kernel_zero_pages=0,
        mergeable_bytes=0,
        ksm_merging_pages=None,
        ksm_zero_pages=None,
        seconds=0.0,
        reading_seconds=0.0,
    )


@given(ids, st.one_of(st.none(), st.integers(0, 63)))
def test_a_scans_sample_is_that_of_its_page_list(values, shift):
    listed = np.array(values, dtype=np.uint64)
    expected = sample.Sample.of_pages(listed, shift=shift)
    found = scan_of(listed.copy()).sample(shift)
    assert found.items.tolist() == expected.items.tolist()
    assert found.shift == expected.shift
    assert found.counters == expected.counters


def test_the_smallest_shift_keeps_a_large_guest_under_the_limit():
    # Twice as many distinct ids of level 6 as a sample may have.
    values = np.arange(1, 2 * sample.MAX_ITEMS + 1, dtype=np.uint64) << np.uint64(40)
    kept = scan_of(values).sample()
    assert kept.shift > sample.MIN_SHIFT
    assert len(kept.items) <= sample.MAX_ITEMS
    assert kept.counters.unique_pages == len(values)


def covers(parts, start: int, end: int, size_bytes: int) -> bool:
    """Whether parts cover a range once, none reaching over a border."""
    address = start
    for begin, pages in parts:
        assert begin == address
        address += pages * page.PAGE_SIZE
        assert begin // size_bytes == (address - 1) // size_bytes
    return address == end


@given(st.integers(0, 1000), st.integers(1, 500))
def test_blocks_cover_a_stretch_once_and_are_aligned(first, pages):
    start = first * page.PAGE_SIZE
    end = start + pages * page.PAGE_SIZE
    size_bytes = memory.BLOCK_PAGES * page.PAGE_SIZE
    assert covers(stretch.blocks(start, pages), start, end, size_bytes)


@given(st.integers(0, 10_000), st.integers(1, 50_000))
def test_stretches_cover_a_mapping_once_and_are_aligned(first, pages):
    start = first * page.PAGE_SIZE
    end = start + pages * page.PAGE_SIZE
    mapping = smaps.Mapping(start, end, frozenset())
    assert covers(scan._stretches(mapping), start, end, scan.STRETCH_BYTES)


def test_the_extension_was_built_and_is_used():
    assert scan.READER is compiled.CompiledReader


def test_without_the_extension_scans_read_in_python():
    program = (
        "import sys\n"
        "sys.modules['membuddies_agent._scan'] = None\n"
        "from membuddies_agent import scan\n"
        "print(scan.READER.__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "PythonReader\n"


@pytest.mark.parametrize(
    ("indices", "ranges"),
    [
        ([0], [(0x10000, 4096)]),
        ([0, 1, 2], [(0x10000, 3 * 4096)]),
        ([1, 3, 4, 63], [(0x11000, 4096), (0x13000, 8192), (0x4F000, 4096)]),
    ],
)
def test_neighbouring_pages_are_read_in_one_go(indices, ranges):
    found = memory._ranges(0x10000, np.array(indices))
    assert [tuple(pair) for pair in found.tolist()] == ranges
