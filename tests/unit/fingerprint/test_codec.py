# SPDX-License-Identifier: Apache-2.0
import contextlib
import dataclasses
import tracemalloc

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from membuddies_nova import exceptions
from membuddies_nova.fingerprint import bloom, codec, sample, seal
from tests.unit.fingerprint.strategies import (
    KEY,
    fingerprints,
    sealed_filters,
    sealed_samples,
)


def resealed(data: bytes) -> bytes:
    """The bytes with a checksum that fits, so that the checks behind it run."""
    return data[:-8] + xxhash.xxh3_64_intdigest(data[:-8]).to_bytes(8, "little")


@given(sealed_samples())
def test_what_is_written_is_read_back(value):
    read = codec.decode(codec.encode(value))
    assert read.items.tolist() == value.items.tolist()
    assert (read.shift, read.seed, read.key_id) == (value.shift, 0, KEY.key_id)
    assert read.counters == value.counters
    assert (read.stable is None) == (value.stable is None)
    if value.stable is not None:
        assert read.stable.tolist() == value.stable.tolist()


@given(sealed_filters())
def test_a_filter_that_is_written_is_read_back(value):
    read = codec.decode_any(codec.encode(value))
    assert read.bits.tolist() == value.bits.tolist()
    assert (read.size, read.hashes) == (value.size, value.hashes)
    assert (read.key_id, read.seed, read.counters) == (KEY.key_id, 0, value.counters)


@st.composite
def hostile_bytes(draw: st.DrawFn) -> bytes:
    """Noise, or a fingerprint with bytes changed, cut or added, its checksum right."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=300))
    raw = bytearray(codec.encode(draw(fingerprints)))
    for _ in range(draw(st.integers(0, 3))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        # Whoever lies about numbers does so in the header.
        at = draw(st.sampled_from([5, 6, 7, 24, 32, 72, 76]))
        value = draw(st.integers(0, 2**32 - 1)).to_bytes(4, "little")
        width = 1 if at < 8 else 4
        raw[at : at + width] = value[:width]
    raw += draw(st.binary(max_size=20))
    data = bytes(raw[: draw(st.integers(0, len(raw)))] or raw)
    return resealed(data) if len(data) >= 8 else data


@settings(max_examples=500)
@given(hostile_bytes())
def test_any_bytes_decode_to_what_encodes_to_them_or_raise_our_error(raw):
    with contextlib.suppress(exceptions.FingerprintError):
        assert codec.encode(codec.decode_any(raw)) == raw
    with contextlib.suppress(exceptions.FingerprintError):
        assert codec.announced_bytes(raw) == len(codec.encode(codec.decode_any(raw)))


MAX_ITEMS = 1000
CONSTANT_BYTES = 2 * 2**20


def peak_bytes(raw: bytes) -> int:
    """What decoding has allocated at most."""
    tracemalloc.start()
    try:
        with contextlib.suppress(exceptions.FingerprintError):
            codec.decode_any(raw, max_items=MAX_ITEMS)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@given(hostile_bytes())
def test_no_bytes_take_more_memory_than_the_limit(raw):
    assert peak_bytes(raw) < CONSTANT_BYTES + codec.PEAK_BYTES_AN_ITEM * MAX_ITEMS


def test_no_number_in_the_header_takes_memory_that_the_bytes_do_not_hold():
    honest = codec.encode(a_sample())
    tail = bytes(2**22)
    for at, width in ((5, 1), (6, 1), (7, 1), (24, 8), (32, 8), (72, 4), (76, 4)):
        for value in (b"\x00" * 8, b"\x02" * 8, b"\x7f" * 8, b"\xff" * 8):
            raw = bytearray(honest)
            raw[at : at + width] = value[:width]
            for data in (bytes(raw), bytes(raw[:-8]) + tail):
                peak = peak_bytes(resealed(data))
                # The bytes themselves are copied to be given another checksum.
                assert peak < CONSTANT_BYTES + codec.PEAK_BYTES_AN_ITEM * MAX_ITEMS


def test_a_long_level_stream_of_few_items_is_refused_by_its_length():
    raw = bytearray(codec.encode(a_sample()))
    raw[72:80] = (1).to_bytes(4, "little") + (2**22).to_bytes(4, "little")
    raw[7] = 58
    data = resealed(bytes(raw[:80]) + bytes(8 + 1 + 2**22 + 8))
    with pytest.raises(exceptions.FingerprintError, match="header is damaged"):
        codec.decode(data)


def test_the_most_items_that_are_allowed_take_what_is_promised():
    ids = np.random.default_rng(4).integers(0, 2**64, 200_000, np.uint64)
    raw = codec.encode(sample.Sample.of_pages(ids, shift=0).sealed(KEY))
    tracemalloc.start()
    try:
        count = len(codec.decode(raw, max_items=200_000).items)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < CONSTANT_BYTES + codec.PEAK_BYTES_AN_ITEM * count


@given(fingerprints, st.data())
def test_a_changed_bit_is_noticed(value, data):
    raw = bytearray(codec.encode(value))
    position = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[position // 8] ^= 1 << (position % 8)
    with pytest.raises(exceptions.FingerprintError):
        codec.decode_any(bytes(raw))


@given(fingerprints, st.data())
def test_a_message_cut_short_is_noticed(value, data):
    raw = codec.encode(value)
    with pytest.raises(exceptions.FingerprintError):
        codec.decode_any(raw[: data.draw(st.integers(0, len(raw) - 1))])


@given(fingerprints)
def test_the_header_alone_tells_the_length(value):
    raw = codec.encode(value)
    assert codec.announced_bytes(raw[: codec.HEADER_BYTES]) == len(raw)


@given(sealed_filters())
def test_the_bus_and_the_database_take_no_filter(value):
    with pytest.raises(exceptions.FingerprintError, match="a Bloom filter where"):
        codec.decode(codec.encode(value))


def a_filter() -> bloom.BloomFilter:
    ids = np.random.default_rng(3).integers(0, 2**64 - 1, 1000, np.uint64)
    pages = sample.Sample.of_pages(ids, shift=0).sealed(KEY)
    return bloom.BloomFilter.of_list(pages, 2**14 + 3, 7)


@pytest.mark.parametrize(
    ("at", "value", "problem"),
    [
        (6, b"\x00", "header is damaged"),
        (6, b"\x41", "header is damaged"),
        (7, b"\x01", "header is damaged"),
        (72, b"\x3f\x00\x00\x00", "header is damaged"),
        (72, b"\xff\xff\xff\xff", "header is damaged"),
        (76, b"\x01", "header is damaged"),
        (32, b"\x01" + bytes(7), "cannot be true"),
        (-9, b"\xff", "padding is damaged"),
    ],
)
def test_each_damaged_field_of_a_filter_is_named(at, value, problem):
    raw = bytearray(codec.encode(a_filter()))
    at %= len(raw)
    raw[at : at + len(value)] = value
    with pytest.raises(exceptions.FingerprintError, match=problem):
        codec.decode_any(resealed(bytes(raw)))


def test_bare_ids_are_never_written():
    bare = sample.Sample.of_pages(np.array([1], np.uint64), shift=0)
    with pytest.raises(exceptions.FingerprintError, match="only sealed"):
        codec.encode(bare)


def damaged(**fields: tuple[int, bytes]) -> bytes:
    raw = bytearray(codec.encode(a_sample()))
    for offset, value in fields.values():
        raw[offset : offset + len(value)] = value
    return resealed(bytes(raw))


def a_sample() -> sample.Sample:
    ids = np.random.default_rng(3).integers(0, 2**64 - 1, 1000, np.uint64)
    return sample.Sample.of_pages(ids, shift=3).sealed(KEY)


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        ((0, b"XXXX"), "not a fingerprint"),
        ((4, b"\x02"), "version 2 is not known"),
        ((5, b"\x03"), "header is damaged"),
        ((6, b"\x40"), "header is damaged"),
        ((7, b"\x01"), "header is damaged"),
        ((16, bytes(8)), "is not sealed"),
        ((24, bytes(8)), "cannot be true"),
        ((32, bytes(8)), "cannot be true"),
        ((72, b"\xff\xff\xff\xff"), "more than the 65536 allowed"),
    ],
)
def test_each_damaged_field_of_the_header_is_named(field, problem):
    with pytest.raises(exceptions.FingerprintError, match=problem):
        codec.decode(damaged(field=field))


def test_more_items_than_allowed_are_refused_before_memory_is_taken():
    raw = codec.encode(a_sample())
    assert len(codec.decode(raw).items) > 100
    with pytest.raises(exceptions.FingerprintError, match="more than the 100 allowed"):
        codec.decode(raw, max_items=100)


def test_the_largest_sample_of_an_agent_takes_under_seven_bytes_an_item():
    items = np.unique(
        np.random.default_rng(5).integers(0, 2**64 - 1, sample.MAX_ITEMS, np.uint64)
    )
    value = sample.Sample(
        items=np.unique((items & ~np.uint64(63)) | np.uint64(6)),
        shift=6,
        key_id=KEY.key_id,
        stable=None,
        counters=sample.Counters(
            resident_pages=2**30, unique_pages=2**25, zero_pages=0
        ),
    )
    raw = codec.encode(
        dataclasses.replace(value, stable=np.ones(len(value.items), bool))
    )
    assert len(raw) < 7 * len(value.items)
    assert codec.decode(raw).items.tolist() == value.items.tolist()


def test_a_digest_names_the_bytes():
    assert codec.digest(b"a") != codec.digest(b"b")
    assert len(codec.digest(b"")) == 32


def test_the_key_id_of_bare_items_is_no_keys():
    assert KEY.key_id != seal.BARE
