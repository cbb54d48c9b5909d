# SPDX-License-Identifier: Apache-2.0
"""A scoreboard as bytes: in a controller's answer to a scheduler.

Layout of the bytes, little-endian, version 1::

    offset  bytes
    0       4      magic "MBSB"
    4       1      version, 1
    5       1      trust scope: 0 project, 1 group, 2 global
    6       2      n, the number of columns
    8       32 n   of each column: 24 name (ASCII, zeros behind), 4 type ("text",
                   or numpy's name of an array's, such as "<i4"), 4 size in bytes
    8+32n          the columns one after another; a text is UTF-8, a line feed
                   behind each name

The columns are those of :mod:`columns`, in its order. A reader passes over those
that it does not know, so a newer controller may send more, and takes a later one
that is missing as not known, so an older one may send fewer. The version changes
only when that does not do.

One board has one encoding, so the hash of the bytes is its version, the same
from every controller. On the wire they are compressed (RFC 1950), which is not
the same with every zlib.
"""

import hashlib
import struct
import zlib
from typing import Any

import numpy as np

from membuddies_nova import exceptions
from membuddies_nova.cluster import Scope
from membuddies_nova.scoreboard.board import Scoreboard
from membuddies_nova.scoreboard.columns import COLUMNS, NAMES, Array

MAX_BYTES = 64 * 2**20
"""Of an encoded board; a larger one is refused before it is looked at."""

_MAGIC = b"MBSB"
_VERSION = 1
_HEADER = struct.Struct("<4sBBH")
_ENTRY = struct.Struct("<24s4sI")
_TEXT = b"text"
_SCOPES = (Scope.PROJECT, Scope.GROUP, Scope.GLOBAL)


def encode(board: Scoreboard) -> bytes:
    """Write a board."""
    parts = [
        (name, _TEXT, "".join(f"{line}\n" for line in lines).encode())
        for name, lines in board.names().items()
    ]
    parts += [
        (column.name, _type(column.dtype), board.arrays()[column.name].tobytes())
        for column in COLUMNS
    ]
    return b"".join(
        (
            _HEADER.pack(_MAGIC, _VERSION, _SCOPES.index(board.scope), len(parts)),
            *(
                _ENTRY.pack(name.encode(), kind, len(data))
                for name, kind, data in parts
            ),
            *(data for _, _, data in parts),
        )
    )


def decode(data: bytes) -> Scoreboard:
    """Read what ``encode`` wrote. The arrays are views of the bytes.

    :raises MessageError: for any other bytes
    """
    if not _HEADER.size <= len(data) <= MAX_BYTES:
        raise exceptions.MessageError("scoreboard", f"has {len(data)} bytes")
    magic, number, scope, count = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise exceptions.MessageError("scoreboard", "is none")
    if number != _VERSION:
        raise exceptions.MessageError(
            "scoreboard", f"has version {number}, only {_VERSION} is known"
        )
    offset = _HEADER.size + count * _ENTRY.size
    if scope >= len(_SCOPES) or offset > len(data):
        raise exceptions.MessageError("scoreboard", "has a damaged header")
    entries = list(_ENTRY.iter_unpack(data[_HEADER.size : offset]))
    announced = offset + sum(size for _, _, size in entries)
    if announced != len(data):
        raise exceptions.MessageError(
            "scoreboard", f"has {len(data)} bytes, its header announces {announced}"
        )
    texts = {each.name for each in NAMES}
    types = {column.name: column.dtype for column in COLUMNS}
    names: dict[str, tuple[str, ...]] = {}
    arrays: dict[str, Array] = {}
    for padded, kind, size in entries:
        name = padded.rstrip(b"\0").decode("ascii", "replace")
        part = slice(offset, offset + size)
        offset += size
        if name in names or name in arrays:
            raise exceptions.MessageError(name, "is there twice")
        if name in texts and kind == _TEXT:
            names[name] = _lines(name, data[part])
        elif name in types and kind == _type(types[name]):
            if size % types[name].itemsize:
                raise exceptions.MessageError(name, f"has {size} bytes")
            arrays[name] = np.frombuffer(data[part], types[name])
        elif name in texts or name in types:
            raise exceptions.MessageError(name, f"is of type {kind!r}")
    return Scoreboard.of(_SCOPES[scope], names, arrays)


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


def _type(dtype: np.dtype[Any]) -> bytes:
    return dtype.str.encode().ljust(4, b"\0")


def _lines(name: str, data: bytes) -> tuple[str, ...]:
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError:
        raise exceptions.MessageError(name, "has damaged text") from None
    if lines.pop() != "":
        raise exceptions.MessageError(name, "has damaged text")
    return tuple(lines)
