# SPDX-License-Identifier: Apache-2.0
"""A sealed sample as bytes: on the bus, in the database, in ``.mbf`` files.

Layout, little-endian, version 1::

    offset  bytes
    0       4      magic "MBFP"
    4       1      version, 1
    5       1      flags: bit 0 the stable bitmap follows
    6       1      shift
    7       1      l, low bits of a value, see below
    8       8      seed
    16      8      key id, never zero
    24      8      resident pages
    32      8      unique pages
    40      8      zero pages
    48      8      kernel zero pages
    56      8      KSM merging pages, 2^64 - 1 unknown
    64      8      KSM zero pages, 2^64 - 1 unknown
    72      4      n, number of items
    76      4      bytes of the level stream
    80             low bits:  n x l bits
                   high bits: n + 2^(58 - l) bits
                   levels:    unary, for each item level - shift zeros and a one
                   stable:    n bits, if flagged
    end - 8 8      XXH3-64 of all bytes before

Every stream begins at a byte and fills bytes from their lowest bit, with zeros
behind its end. An item's upper 58 bits are its value, its low 6 bits its level.
The values ascend and are as good as random, so they are stored as Elias and
Fano proposed (Vigna, "Quasi-succinct indices", WSDM 2013): the low l bits of
each as they are, the rest as positions in a bit vector, 2 + log2(2^58 / n) bits
an item where 64 were. One value has one encoding: bytes that decode encode to
themselves.
"""

import hashlib
import struct

import numpy as np
import numpy.typing as npt
import xxhash

from membuddies_nova import exceptions
from membuddies_nova.fingerprint import page, sample, seal

MAX_LIST_ITEMS = 2**28
"""Items of a file at most: the pages of 1 TiB."""

_MAGIC = b"MBFP"
_VERSION = 1
_HEADER = struct.Struct("<4sBBBBQ8sQQQQQQII")
_CHECKSUM = struct.Struct("<Q")
_STABLE = 1
_UNKNOWN = 2**64 - 1
_VALUE_BITS = 58
_LEVEL_BITS = 6
_BLOCK = 8192

Bits = npt.NDArray[np.uint8]


def encode(value: sample.Sample) -> bytes:
    """Write a sealed sample.

    :raises FingerprintError: if it is not sealed: bare ids stay on their host
    """
    if not value.is_sealed:
        raise exceptions.FingerprintError("only sealed fingerprints are written")
    items = value.items
    low = _low_bits(len(items))
    values = items >> np.uint64(_LEVEL_BITS)
    highs = (values >> np.uint64(low)).astype(np.int64)
    streams = [
        _pack_low(values, low),
        _pack_positions(
            highs + np.arange(len(items)), len(items) + (1 << (_VALUE_BITS - low))
        ),
    ]
    gaps = value.levels().astype(np.int64) - value.shift + 1
    ends = np.cumsum(gaps)
    levels = _pack_positions(ends - 1, int(ends[-1]) if len(ends) else 0)
    streams.append(levels)
    if value.stable is not None:
        streams.append(np.packbits(value.stable, bitorder="little").tobytes())
    counters = value.counters
    header = _HEADER.pack(
        _MAGIC,
        _VERSION,
        0 if value.stable is None else _STABLE,
        value.shift,
        low,
        value.seed,
        value.key_id,
        counters.resident_pages,
        counters.unique_pages,
        counters.zero_pages,
        counters.kernel_zero_pages,
        _or_unknown(counters.ksm_merging_pages),
        _or_unknown(counters.ksm_zero_pages),
        len(items),
        len(levels),
    )
    body = b"".join((header, *streams))
    return body + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(body))


def decode(data: bytes, *, max_items: int = sample.MAX_ITEMS) -> sample.Sample:
    """Read what ``encode`` wrote.

    :param max_items: refuse more items than this before allocating for them
    :raises FingerprintError: for any other bytes
    """
    if len(data) < _HEADER.size + _CHECKSUM.size:
        raise exceptions.FingerprintError(
            f"{len(data)} bytes are too short for a fingerprint"
        )
    (
        magic, version, flags, shift, low, seed, key_id, resident, unique, zero,
        kernel_zero, merging, ksm_zero, count, level_bytes,
    ) = _HEADER.unpack_from(data)  # fmt: skip
    if magic != _MAGIC:
        raise exceptions.FingerprintError("the bytes are not a fingerprint")
    if version != _VERSION:
        raise exceptions.FingerprintError(
            f"fingerprint version {version} is not known, only {_VERSION}"
        )
    if count > max_items:
        raise exceptions.FingerprintError(
            f"{count} items are more than the {max_items} allowed"
        )
    if flags & ~_STABLE or shift > sample.MAX_SHIFT or low != _low_bits(count):
        raise exceptions.FingerprintError("the fingerprint's header is damaged")
    if key_id == seal.BARE:
        raise exceptions.FingerprintError("the fingerprint is not sealed")
    high_bits = count + (1 << (_VALUE_BITS - low))
    sizes = [
        _bytes(count * low),
        _bytes(high_bits),
        level_bytes,
        _bytes(count) if flags & _STABLE else 0,
    ]
    end = len(data) - _CHECKSUM.size
    if _HEADER.size + sum(sizes) != end:
        raise exceptions.FingerprintError(
            f"the fingerprint has {len(data)} bytes where its header announces "
            f"{_HEADER.size + sum(sizes) + _CHECKSUM.size}"
        )
    if xxhash.xxh3_64_intdigest(data[:end]) != _CHECKSUM.unpack_from(data, end)[0]:
        raise exceptions.FingerprintError("the fingerprint's checksum is wrong")

    streams = []
    start = _HEADER.size
    for size in sizes:
        streams.append(np.frombuffer(data, np.uint8, size, start))
        start += size
    highs = _positions(streams[1], high_bits, count) - np.arange(count)
    values = _unpack_low(streams[0], low, count)
    values |= highs.astype(np.uint64) << np.uint64(low)
    ends = _positions(streams[2], level_bytes * 8, count)
    if _bytes(int(ends[-1]) + 1 if count else 0) != level_bytes:
        raise exceptions.FingerprintError("the fingerprint's levels are damaged")
    levels = np.diff(ends, prepend=-1) - 1 + shift
    if count and int(levels.max()) > sample.MAX_SHIFT:
        raise exceptions.FingerprintError("the fingerprint's levels are damaged")
    items = (values << np.uint64(_LEVEL_BITS)) | levels.astype(np.uint64)
    if np.any(items[1:] <= items[:-1]):
        raise exceptions.FingerprintError("the fingerprint's items do not ascend")
    stable = None
    if flags & _STABLE:
        stable = _bits(streams[3], count).astype(np.bool_)
    # A page that seals to another's item is lost, never invented.
    if count > unique:
        raise exceptions.FingerprintError(
            f"{count} items of {unique} unique pages cannot be true"
        )
    return sample.Sample(
        items=items,
        shift=shift,
        seed=seed,
        key_id=key_id,
        stable=stable,
        counters=sample.Counters(
            resident_pages=resident,
            unique_pages=unique,
            zero_pages=zero,
            kernel_zero_pages=kernel_zero,
            ksm_merging_pages=None if merging == _UNKNOWN else merging,
            ksm_zero_pages=None if ksm_zero == _UNKNOWN else ksm_zero,
        ),
    )


def digest(data: bytes) -> str:
    """A fingerprint's name: BLAKE2b of its bytes, 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _or_unknown(count: int | None) -> int:
    return _UNKNOWN if count is None else count


def _bytes(bits: int) -> int:
    return (bits + 7) // 8


def _low_bits(count: int) -> int:
    """l = floor(log2(2^58 / n)), which makes the high part shortest."""
    return _VALUE_BITS - max(count - 1, 0).bit_length()


def _pack_low(values: page.Ids, low: int) -> bytes:
    """The lowest bits of each value, end to end."""
    packed = []
    # Eight values end at a byte whatever their width, so blocks can be joined.
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK].astype("<u8").view(np.uint8)
        bits = np.unpackbits(block.reshape(-1, 8), axis=1, bitorder="little")
        packed.append(np.packbits(bits[:, :low], bitorder="little").tobytes())
    return b"".join(packed)


def _unpack_low(stream: Bits, low: int, count: int) -> page.Ids:
    values = np.empty(count, np.uint64)
    padding = 8 * len(stream) - count * low
    if padding and stream[-1] >> (8 - padding):
        raise exceptions.FingerprintError("the fingerprint's padding is damaged")
    for start in range(0, count, _BLOCK):
        block = min(_BLOCK, count - start)
        first = start * low // 8
        bits = np.unpackbits(
            stream[first : first + _bytes(block * low)],
            bitorder="little",
            count=block * low,
        ).reshape(block, low)
        wide = np.zeros((block, 64), np.uint8)
        wide[:, :low] = bits
        values[start : start + block] = (
            np.packbits(wide, axis=1, bitorder="little").view("<u8").ravel()
        )
    return values


def _pack_positions(positions: npt.NDArray[np.int64], length: int) -> bytes:
    """A bit vector with ones at the positions."""
    bits = np.zeros(length, np.uint8)
    bits[positions] = 1
    return np.packbits(bits, bitorder="little").tobytes()


def _positions(stream: Bits, length: int, count: int) -> npt.NDArray[np.int64]:
    """Where a bit vector of that length has its ones."""
    positions = np.flatnonzero(_bits(stream, length))
    if len(positions) != count:
        raise exceptions.FingerprintError(
            f"the fingerprint announces {count} items and holds {len(positions)}"
        )
    return positions


def _bits(stream: Bits, length: int) -> Bits:
    bits = np.unpackbits(stream, bitorder="little")
    if bits[length:].any():
        raise exceptions.FingerprintError("the fingerprint's padding is damaged")
    return bits[:length]
