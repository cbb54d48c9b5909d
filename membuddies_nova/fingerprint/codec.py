# SPDX-License-Identifier: Apache-2.0
"""Sealed fingerprints as bytes: on the bus, in the database, in ``.mbf`` files.

Layout, little-endian, version 1. All begin and end alike::

    offset  bytes
    0       4      magic "MBFP"
    4       1      version, 1
    5       1      kind: 0 sample or list, 1 the same with the stable bitmap,
                   2 Bloom filter
    6       1      shift; of a filter k, the number of hashes
    7       1      l, low bits of a value, see below; of a filter 0
    8       8      seed
    16      8      key id, never zero
    24      8      resident pages
    32      8      unique pages
    40      8      zero pages
    48      8      kernel zero pages
    56      8      KSM merging pages, 2^64 - 1 unknown
    64      8      KSM zero pages, 2^64 - 1 unknown
    72      4      n, number of items; of a filter m, its bits
    76      4      bytes of the level stream; of a filter 0
    80             streams
    end - 8 8      XXH3-64 of all bytes before

The streams of a sample; a list is one of shift 0::

    low bits   n x l bits
    high bits  n + 2^(58 - l) bits
    levels     unary, for each item level - shift zeros and a one
    stable     n bits, if kind is 1

and of a filter::

    bits       m bits

Every stream begins at a byte and fills bytes from their lowest bit, with zeros
behind its end. An item's upper 58 bits are its value, its low 6 bits its level.
The values ascend and are as good as random, so they are stored as Elias and
Fano proposed (Vigna, "Quasi-succinct indices", WSDM 2013): the low l bits of
each as they are, the rest as positions in a bit vector, 2 + log2(2^58 / n) bits
an item where 64 were. One value has one encoding: bytes that decode encode to
themselves.

A reader says how many items it takes. The header alone then limits the length, so
:func:`announced_bytes` can refuse a file before it is read, and no more than
``PEAK_BYTES_AN_ITEM`` for each of these items is allocated, whatever the bytes are.
"""

import dataclasses
import hashlib
import struct
from typing import Self

import numpy as np
import xxhash

from membuddies_nova import exceptions
from membuddies_nova.fingerprint import bloom, sample, seal
from membuddies_nova.fingerprint.bit_streams import (
    Bits,
    byte_count,
    pack_low,
    pack_positions,
    require_padding,
    unpack_bits,
    unpack_low,
    unpack_positions,
)
from membuddies_nova.fingerprint.bloom import BloomFilter
from membuddies_nova.fingerprint.formats import Fingerprint
from membuddies_nova.fingerprint.sample import Sample

MAX_LIST_ITEMS = 2**28
"""Items of a file at most: the pages of 1 TiB."""

HEADER_BYTES = 80

PEAK_BYTES_AN_ITEM = 128
"""Memory that decoding takes at most, beside a constant of a few MiB."""

_MAGIC = b"MBFP"
_VERSION = 1
_HEADER = struct.Struct("<4sBBBBQ8sQQQQQQII")
_CHECKSUM = struct.Struct("<Q")
_SAMPLE, _STABLE_SAMPLE, _BLOOM = range(3)
_UNKNOWN = 2**64 - 1
_VALUE_BITS = 58
_LEVEL_BITS = 6


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """The first bytes, checked by themselves; named as in the layout."""

    kind: int
    shift: int
    low: int
    seed: int
    key_id: bytes
    counters: sample.Counters
    count: int
    level_bytes: int

    def pack(self) -> bytes:
        counters = self.counters
        return _HEADER.pack(
            _MAGIC,
            _VERSION,
            self.kind,
            self.shift,
            self.low,
            self.seed,
            self.key_id,
            counters.resident_pages,
            counters.unique_pages,
            counters.zero_pages,
            counters.kernel_zero_pages,
            _or_unknown(counters.ksm_merging_pages),
            _or_unknown(counters.ksm_zero_pages),
            self.count,
            self.level_bytes,
        )

    @classmethod
    def unpack(cls, data: bytes, max_items: int) -> Self:
        """Read the header alone.

        :raises FingerprintError: if it is none, or announces too much
        """
        if len(data) < HEADER_BYTES:
            raise exceptions.FingerprintError(
                f"{len(data)} bytes are too short for a fingerprint"
            )
        (
            magic, version, kind, shift, low, seed, key_id, resident, unique, zero,
            kernel_zero, merging, ksm_zero, count, level_bytes,
        ) = _HEADER.unpack_from(data)  # fmt: skip
        if magic != _MAGIC:
            raise exceptions.FingerprintError("the bytes are not a fingerprint")
        if version != _VERSION:
            raise exceptions.FingerprintError(
                f"fingerprint version {version} is not known, only {_VERSION}"
            )
        if key_id == seal.BARE:
            raise exceptions.FingerprintError("the fingerprint is not sealed")
        header = cls(
            kind=kind,
            shift=shift,
            low=low,
            seed=seed,
            key_id=key_id,
            counters=sample.Counters(
                resident_pages=resident,
                unique_pages=unique,
                zero_pages=zero,
                kernel_zero_pages=kernel_zero,
                ksm_merging_pages=None if merging == _UNKNOWN else merging,
                ksm_zero_pages=None if ksm_zero == _UNKNOWN else ksm_zero,
            ),
            count=count,
            level_bytes=level_bytes,
        )
        if kind == _BLOOM:
            header._check_filter()
        else:
            header._check_sample(max_items)
        return header

    @property
    def high_bits(self) -> int:
        return self.count + (1 << (_VALUE_BITS - self.low))

    @property
    def stream_bytes(self) -> tuple[int, ...]:
        """How long each stream is."""
        if self.kind == _BLOOM:
            return (byte_count(self.count),)
        return (
            byte_count(self.count * self.low),
            byte_count(self.high_bits),
            self.level_bytes,
            byte_count(self.count) if self.kind == _STABLE_SAMPLE else 0,
        )

    @property
    def total_bytes(self) -> int:
        return HEADER_BYTES + sum(self.stream_bytes) + _CHECKSUM.size

    def _check_sample(self, max_items: int) -> None:
        if self.count > max_items:
            raise exceptions.FingerprintError(
                f"{self.count} items are more than the {max_items} allowed"
            )
        if (
            self.kind not in (_SAMPLE, _STABLE_SAMPLE)
            or self.shift > sample.MAX_SHIFT
            or self.low != _low_bits(self.count)
            or self.level_bytes
            > byte_count(self.count * (sample.MAX_SHIFT - self.shift + 1))
        ):
            raise exceptions.FingerprintError("the fingerprint's header is damaged")
        # A page that seals to another's item is lost, never invented.
        if self.count > self.counters.unique_pages:
            raise exceptions.FingerprintError(
                f"{self.count} items of {self.counters.unique_pages} unique pages "
                f"cannot be true"
            )

    def _check_filter(self) -> None:
        if (
            not bloom.MIN_BITS <= self.count <= bloom.MAX_BITS
            or not 1 <= self.shift <= bloom.MAX_HASHES
            or self.low
            or self.level_bytes
        ):
            raise exceptions.FingerprintError("the fingerprint's header is damaged")


def encode(value: Fingerprint) -> bytes:
    """Write a sealed fingerprint of any format.

    :raises FingerprintError: if it is not sealed: bare ids stay on their host
    """
    if not value.is_sealed:
        raise exceptions.FingerprintError("only sealed fingerprints are written")
    if isinstance(value, BloomFilter):
        header, streams = _filter_parts(value)
    elif isinstance(value, Sample):
        header, streams = _sample_parts(value)
    else:
        raise TypeError(f"no layout for {type(value).__name__}")
    body = b"".join((header.pack(), *streams))
    return body + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(body))


def announced_bytes(head: bytes, *, max_items: int = sample.MAX_ITEMS) -> int:
    """How long the fingerprint is that begins with these bytes.

    :param head: its first ``HEADER_BYTES`` at least
    :raises FingerprintError: if they are no header, or announce too much
    """
    return _Header.unpack(head, max_items).total_bytes


def decode(data: bytes, *, max_items: int = sample.MAX_ITEMS) -> Sample:
    """Read a sample or list that ``encode`` wrote.

    :param max_items: refuse more items than this before allocating for them
    :raises FingerprintError: for any other bytes
    """
    value = decode_any(data, max_items=max_items)
    if not isinstance(value, Sample):
        raise exceptions.FingerprintError(
            "a Bloom filter where a sample of the pages is needed"
        )
    return value


def decode_any(
    data: bytes, *, max_items: int = sample.MAX_ITEMS
) -> Sample | BloomFilter:
    """Read whatever ``encode`` wrote.

    :param max_items: refuse more items than this before allocating for them
    :raises FingerprintError: for any other bytes
    """
    header = _Header.unpack(data, max_items)
    if header.total_bytes != len(data):
        raise exceptions.FingerprintError(
            f"the fingerprint has {len(data)} bytes where its header announces "
            f"{header.total_bytes}"
        )
    end = len(data) - _CHECKSUM.size
    if (
        xxhash.xxh3_64_intdigest(memoryview(data)[:end])
        != _CHECKSUM.unpack_from(data, end)[0]
    ):
        raise exceptions.FingerprintError("the fingerprint's checksum is wrong")
    streams = []
    start = HEADER_BYTES
    for size in header.stream_bytes:
        streams.append(np.frombuffer(data, np.uint8, size, start))
        start += size
    if header.kind == _BLOOM:
        return _filter(header, *streams)
    return _sample(header, *streams)


def digest(data: bytes) -> str:
    """A fingerprint's name: BLAKE2b of its bytes, 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _sample_parts(value: Sample) -> tuple[_Header, list[bytes]]:
    items = value.items
    count = len(items)
    low = _low_bits(count)
    values = items >> np.uint64(_LEVEL_BITS)
    highs = (values >> np.uint64(low)).astype(np.int64)
    high_bits = count + (1 << (_VALUE_BITS - low))
    ends = np.cumsum(value.levels().astype(np.int64) - value.shift + 1)
    levels = pack_positions(ends - 1, int(ends[-1]) if count else 0)
    streams = [
        pack_low(values, low),
        pack_positions(highs + np.arange(count), high_bits),
        levels,
    ]
    if value.stable is not None:
        streams.append(np.packbits(value.stable, bitorder="little").tobytes())
    header = _Header(
        kind=_SAMPLE if value.stable is None else _STABLE_SAMPLE,
        shift=value.shift,
        low=low,
        seed=value.seed,
        key_id=value.key_id,
        counters=value.counters,
        count=count,
        level_bytes=len(levels),
    )
    return header, streams


def _sample(
    header: _Header, low: Bits, high: Bits, level: Bits, stable: Bits
) -> Sample:
    count, shift = header.count, header.shift
    highs = unpack_positions(high, header.high_bits, count) - np.arange(count)
    items = unpack_low(low, header.low, count)
    items |= highs.astype(np.uint64) << np.uint64(header.low)
    del highs
    ends = unpack_positions(level, header.level_bytes * 8, count)
    if byte_count(int(ends[-1]) + 1 if count else 0) != header.level_bytes:
        raise exceptions.FingerprintError("the fingerprint's levels are damaged")
    levels = np.diff(ends, prepend=-1) - 1 + shift
    if count and int(levels.max()) > sample.MAX_SHIFT:
        raise exceptions.FingerprintError("the fingerprint's levels are damaged")
    items <<= np.uint64(_LEVEL_BITS)
    items |= levels.astype(np.uint64)
    if np.any(items[1:] <= items[:-1]):
        raise exceptions.FingerprintError("the fingerprint's items do not ascend")
    return Sample(
        items=items,
        shift=shift,
        seed=header.seed,
        key_id=header.key_id,
        stable=(
            unpack_bits(stable, count).astype(np.bool_)
            if header.kind == _STABLE_SAMPLE
            else None
        ),
        counters=header.counters,
    )


def _filter_parts(value: BloomFilter) -> tuple[_Header, list[bytes]]:
    header = _Header(
        kind=_BLOOM,
        shift=value.hashes,
        low=0,
        seed=value.seed,
        key_id=value.key_id,
        counters=value.counters,
        count=value.size,
        level_bytes=0,
    )
    return header, [value.bits.tobytes()]


def _filter(header: _Header, bits: Bits) -> BloomFilter:
    require_padding(bits, header.count)
    value = BloomFilter(
        bits=bits,
        size=header.count,
        hashes=header.shift,
        counters=header.counters,
        seed=header.seed,
        key_id=header.key_id,
    )
    pages = header.counters.unique_pages
    set_bits = value.size - value.zero_bits
    if set_bits > value.hashes * pages:
        raise exceptions.FingerprintError(
            f"{set_bits} bits of {pages} unique pages cannot be true"
        )
    return value


def _or_unknown(count: int | None) -> int:
    return _UNKNOWN if count is None else count


def _low_bits(count: int) -> int:
    """l = floor(log2(2^58 / n)), which makes the high part shortest."""
    return _VALUE_BITS - max(count - 1, 0).bit_length()
