# SPDX-License-Identifier: Apache-2.0
"""A scoreboard as bytes: in a controller's answer to a scheduler.

Layout of the bytes, little-endian, version 1::

    offset  bytes
    0       4      magic "MBSB"
    4       1      version, 1
    5       1      trust scope: 0 project, 1 group, 2 global
    6       2      zero
    8       4      h, hosts
    12      4      k, scope keys
    16      4      p, profiles
    20      4      r, rows
    24      4      e, entries of rows
    28      4      o, overlaps
    32      4      g, guests
    36      4      b, best hosts of guests
    40      4      t, bytes of text
    44             the arrays, in the order of ``ARRAYS``
                   t bytes of UTF-8: h host names, k scope keys, p profiles, each
                   with a line feed behind it

One board has one encoding, so the hash of the bytes is its version, the same
from every controller. On the wire they are compressed (RFC 1950), which is not
the same with every zlib.
"""

import hashlib
import struct
import zlib

import numpy as np

from membuddies_nova import exceptions
from membuddies_nova.cluster import Scope
from membuddies_nova.scoreboard.board import ARRAYS, Scoreboard

MAX_BYTES = 64 * 2**20
"""Of an encoded board; a larger one is refused before it is looked at."""

_MAGIC = b"MBSB"
_VERSION = 1
_HEADER = struct.Struct("<4sBBH9I")
_SCOPES = (Scope.PROJECT, Scope.GROUP, Scope.GLOBAL)


def encode(board: Scoreboard) -> bytes:
    """Write a board."""
    text = "".join(
        f"{name}\n" for name in (*board.hosts, *board.keys, *board.profiles)
    ).encode()
    counts = board.counts()
    header = _HEADER.pack(
        _MAGIC,
        _VERSION,
        _SCOPES.index(board.scope),
        0,
        counts["hosts"],
        counts["keys"],
        counts["profiles"],
        counts["rows"],
        counts["entries"],
        counts["overlaps"],
        counts["guests"],
        counts["best"],
        len(text),
    )
    arrays = (getattr(board, name).tobytes() for name, _, _ in ARRAYS)
    return b"".join((header, *arrays, text))


def decode(data: bytes) -> Scoreboard:
    """Read what ``encode`` wrote. The arrays are views of the bytes.

    :raises MessageError: for any other bytes
    """
    if not _HEADER.size <= len(data) <= MAX_BYTES:
        raise exceptions.MessageError("scoreboard", f"has {len(data)} bytes")
    magic, number, scope, zero, *sizes, text_bytes = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise exceptions.MessageError("scoreboard", "is none")
    if number != _VERSION:
        raise exceptions.MessageError(
            "scoreboard", f"has version {number}, only {_VERSION} is known"
        )
    if scope >= len(_SCOPES) or zero:
        raise exceptions.MessageError("scoreboard", "has a damaged header")
    names = (
        "hosts", "keys", "profiles", "rows", "entries", "overlaps", "guests", "best",
    )  # fmt: skip
    counts = dict(zip(names, sizes, strict=True))
    expected = text_bytes + sum(
        dtype.itemsize * counts[count] for _, dtype, count in ARRAYS
    )
    if _HEADER.size + expected != len(data):
        raise exceptions.MessageError(
            "scoreboard",
            f"has {len(data)} bytes, its header announces {_HEADER.size + expected}",
        )
    arrays = {}
    offset = _HEADER.size
    for name, dtype, count in ARRAYS:
        arrays[name] = np.frombuffer(data, dtype, counts[count], offset)
        offset += dtype.itemsize * counts[count]
    try:
        lines = data[offset:].decode().split("\n")
    except UnicodeDecodeError:
        raise exceptions.MessageError("scoreboard", "has damaged text") from None
    first, second = counts["hosts"], counts["hosts"] + counts["keys"]
    if lines.pop() != "" or len(lines) != second + counts["profiles"]:
        raise exceptions.MessageError("scoreboard", "has damaged text")
    return Scoreboard(
        scope=_SCOPES[scope],
        hosts=tuple(lines[:first]),
        keys=tuple(lines[first:second]),
        profiles=tuple(lines[second:]),
        **arrays,
    )


def version(data: bytes) -> str:
    """A board's version: BLAKE2b of its bytes, 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def compress(data: bytes) -> bytes:
    """An encoded board for the wire."""
    return zlib.compress(data, 1)


def decompress(body: bytes) -> bytes:
    """Read what ``compress`` wrote.

    :raises MessageError: for any other bytes, and for more than ``MAX_BYTES``
    """
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(body, MAX_BYTES)
    except zlib.error as error:
        raise exceptions.MessageError("scoreboard", f"is damaged: {error}") from None
    if not stream.eof or stream.unused_data:
        raise exceptions.MessageError("scoreboard", "is cut short or too large")
    return data
