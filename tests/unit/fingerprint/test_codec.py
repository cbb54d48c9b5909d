# SPDX-License-Identifier: Apache-2.0
import contextlib
import dataclasses

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from membuddies_nova import exceptions
from membuddies_nova.fingerprint import codec, sample, seal
from tests.unit.fingerprint.strategies import KEY, sealed_samples


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


@settings(max_examples=500)
@given(st.data())
def test_any_bytes_decode_to_what_encodes_to_them_or_raise_our_error(data):
    if data.draw(st.booleans()):
        raw = data.draw(st.binary(max_size=300))
    else:
        raw = bytearray(codec.encode(data.draw(sealed_samples())))
        for _ in range(data.draw(st.integers(0, 3))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(
                st.integers(0, 255)
            )
        raw = bytes(raw[: data.draw(st.integers(0, len(raw)))] or raw)
        raw = resealed(raw) if len(raw) >= 8 else raw
    with contextlib.suppress(exceptions.FingerprintError):
        assert codec.encode(codec.decode(raw)) == raw


@given(sealed_samples(), st.data())
def test_a_changed_bit_is_noticed(value, data):
    raw = bytearray(codec.encode(value))
    position = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[position // 8] ^= 1 << (position % 8)
    with pytest.raises(exceptions.FingerprintError):
        codec.decode(bytes(raw))


@given(sealed_samples(), st.data())
def test_a_message_cut_short_is_noticed(value, data):
    raw = codec.encode(value)
    with pytest.raises(exceptions.FingerprintError):
        codec.decode(raw[: data.draw(st.integers(0, len(raw) - 1))])


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
        ((5, b"\x80"), "header is damaged"),
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
