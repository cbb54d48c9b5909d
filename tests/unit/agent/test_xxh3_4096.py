# SPDX-License-Identifier: Apache-2.0
"""The shared header against the xxhash package, for every way to compile it."""

import ctypes
import pathlib
import random
import subprocess

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from membuddies_nova.fingerprint.page import PAGE_SIZE

ROOT = pathlib.Path(__file__).parents[3]
DRIVER = pathlib.Path(__file__).with_name("xxh3_4096_driver.c")
WARNINGS = ["-Wall", "-Wextra", "-Werror"]

NEEDED_FLAGS = {
    "id_plain": set(),
    "id_widest": set(),
    "id_avx2": {"avx2"},
    "id_avx512": {"avx512f"},
}
MACHINE_FLAGS = set(pathlib.Path("/proc/cpuinfo").read_text("ascii").split())
UNITS = [name for name, flags in NEEDED_FLAGS.items() if flags <= MACHINE_FLAGS]


def built(directory: pathlib.Path, *options: str) -> ctypes.CDLL:
    library = directory / "driver.so"
    subprocess.run(
        [
            *("gcc", "-shared", "-fPIC", *WARNINGS, *options),
            *("-I", str(ROOT / "guest_kmod")),
            *("-I", str(ROOT / "agent" / "membuddies_agent")),
            *(str(DRIVER), "-o", str(library)),
        ],
        check=True,
    )
    return ctypes.CDLL(str(library))


@pytest.fixture(
    scope="module",
    params=[("-O3",), ("-O2", "-fno-tree-vectorize")],
    ids=["vectorised", "scalar"],
)
def driver(request, tmp_path_factory):
    return built(tmp_path_factory.mktemp("driver"), *request.param)


def header_id(driver: ctypes.CDLL, unit: str, page: bytes, seed: int) -> int:
    function = getattr(driver, unit)
    function.restype = ctypes.c_uint64
    return function(page, ctypes.c_uint64(seed))


def patched(page: bytes, patches: dict[int, int]) -> bytes:
    changed = bytearray(page)
    for position, value in patches.items():
        changed[position] = value
    return bytes(changed)


# Either a part again and again or noise, with a few bytes changed.
pages = st.builds(
    patched,
    st.one_of(
        st.binary(min_size=1, max_size=100).map(
            lambda part: (part * PAGE_SIZE)[:PAGE_SIZE]
        ),
        st.integers(0, 2**32).map(
            lambda seed: random.Random(seed).randbytes(PAGE_SIZE)
        ),
    ),
    st.dictionaries(st.integers(0, PAGE_SIZE - 1), st.integers(0, 255), max_size=5),
)
seeds = st.one_of(st.sampled_from([0, 1, 2**64 - 1]), st.integers(0, 2**64 - 1))


@pytest.mark.parametrize("unit", UNITS)
@given(page=pages, seed=seeds)
def test_an_id_is_that_of_the_xxhash_package(driver, unit, page, seed):
    expected = xxhash.xxh3_64_intdigest(page, seed)
    assert header_id(driver, unit, page, seed) == expected


@pytest.mark.parametrize("unit", UNITS)
def test_every_byte_of_a_page_counts(driver, unit):
    zero = bytearray(PAGE_SIZE)
    ids = {header_id(driver, unit, bytes(zero), 0)}
    for position in range(PAGE_SIZE):
        zero[position] = 1
        ids.add(header_id(driver, unit, bytes(zero), 0))
        zero[position] = 0
    assert len(ids) == PAGE_SIZE + 1


def test_the_header_stands_without_a_library(tmp_path):
    """As a kernel includes it: its own types, no header of a C library."""
    source = tmp_path / "alone.c"
    source.write_text(
        "typedef unsigned char u8;\n"
        "typedef unsigned int u32;\n"
        "typedef unsigned long long u64;\n"
        "static inline u64 xxh3_read64(const u8 *bytes)\n"
        "{ u64 value; __builtin_memcpy(&value, bytes, 8); return value; }\n"
        '#include "xxh3_4096.h"\n'
        "u64 id(const struct xxh3_4096 *key, const u8 *page);\n"
        "u64 id(const struct xxh3_4096 *key, const u8 *page)\n"
        "{ return xxh3_4096(key, page); }\n"
        "void init(struct xxh3_4096 *key, u64 seed);\n"
        "void init(struct xxh3_4096 *key, u64 seed)\n"
        "{ xxh3_4096_init(key, seed); }\n"
    )
    target = tmp_path / "alone.o"
    subprocess.run(
        [
            *("gcc", "-std=gnu11", "-O2", "-ffreestanding", "-nostdinc"),
            *("-mno-sse", "-mno-mmx", "-mno-80387", *WARNINGS),
            *("-I", str(ROOT / "guest_kmod"), "-c", str(source), "-o", str(target)),
        ],
        check=True,
    )
    undefined = subprocess.run(
        ["nm", "--undefined-only", str(target)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert undefined.stdout == ""
