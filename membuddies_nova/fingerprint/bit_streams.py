# SPDX-License-Identifier: Apache-2.0
"""Numbers and positions packed into bits, for :mod:`.codec`.

Every stream begins at a byte and fills bytes from their lowest bit, with zeros
behind its end; a reader refuses any other padding, so that one value has one
encoding.
"""

import numpy as np
import numpy.typing as npt

from membuddies_nova import exceptions
from membuddies_nova.fingerprint import page

Bits = npt.NDArray[np.uint8]

# Eight values end at a byte whatever their width, so blocks can be joined.
_BLOCK = 8192


def byte_count(bits: int) -> int:
    """Bytes that so many bits fill."""
    return (bits + 7) // 8


def pack_low(values: page.Ids, low: int) -> bytes:
    """The lowest bits of each value, end to end."""
    packed = []
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK].astype("<u8").view(np.uint8)
        bits = np.unpackbits(block.reshape(-1, 8), axis=1, bitorder="little")
        packed.append(np.packbits(bits[:, :low], bitorder="little").tobytes())
    return b"".join(packed)


def unpack_low(stream: Bits, low: int, count: int) -> page.Ids:
    """So many values of ``low`` bits each."""
    require_padding(stream, count * low)
    values = np.empty(count, np.uint64)
    for start in range(0, count, _BLOCK):
        block = min(_BLOCK, count - start)
        first = start * low // 8
        bits = np.unpackbits(
            stream[first : first + byte_count(block * low)],
            bitorder="little",
            count=block * low,
        ).reshape(block, low)
        wide = np.zeros((block, 64), np.uint8)
        wide[:, :low] = bits
        values[start : start + block] = (
            np.packbits(wide, axis=1, bitorder="little").view("<u8").ravel()
        )
    return values


def pack_positions(positions: npt.NDArray[np.int64], length: int) -> bytes:
    """A bit vector with ones at the positions."""
    bits = np.zeros(length, np.uint8)
    bits[positions] = 1
    return np.packbits(bits, bitorder="little").tobytes()


def unpack_positions(stream: Bits, length: int, count: int) -> npt.NDArray[np.int64]:
    """Where a bit vector of that length has its ones.

    :raises FingerprintError: if there are not so many
    """
    positions = np.flatnonzero(unpack_bits(stream, length))
    if len(positions) != count:
        raise exceptions.FingerprintError(
            f"the fingerprint announces {count} items and holds {len(positions)}"
        )
    return positions


def unpack_bits(stream: Bits, length: int) -> Bits:
    """A byte for each bit."""
    require_padding(stream, length)
    return np.unpackbits(stream, bitorder="little", count=length)


def require_padding(stream: Bits, length: int) -> None:
    """Refuse ones behind a stream's end.

    :raises FingerprintError: if there is one
    """
    padding = 8 * len(stream) - length
    if padding and stream[-1] >> (8 - padding):
        raise exceptions.FingerprintError("the fingerprint's padding is damaged")
