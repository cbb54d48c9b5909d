# SPDX-License-Identifier: Apache-2.0
"""Sealing: what leaves a compute node is useless without the cloud's key.

A bare page id tells whoever reads it that a guest holds a known page. A sealed
item is the keyed BLAKE2b (RFC 7693) of the id, so only equality is left, and
only among items under the same key. Its low 6 bits are replaced by the level
of the id, so that a fine sample can still be thinned to a coarser one.

While a cloud changes its key, its key file holds two: the first seals, the
other one is known as well. Each has an id, which tells nothing of the key and
stands wherever something was sealed or tagged with it.
"""

import dataclasses
import hashlib
import os
import pathlib
import stat
from collections.abc import Iterator
from typing import Self

import numpy as np

from membuddies_nova import exceptions
from membuddies_nova.fingerprint import page

KEY_ID_BYTES = 8
BARE = bytes(KEY_ID_BYTES)
"""Key id of items that are not sealed. They never leave the host."""
TAG_BYTES = 16

_SECRET_BYTES_MIN = 32
_KEYS_MAX = 2
_FILE_BYTES_MAX = 1024
_LEVEL_MASK = np.uint64(0x3F)


class SealKey:
    """The cloud's secret key, the same on every compute node.

    :param secret: 32 to 64 bytes
    :raises ConfigurationError: for another length
    """

    def __init__(self, secret: bytes) -> None:
        if not _SECRET_BYTES_MIN <= len(secret) <= hashlib.blake2b.MAX_KEY_SIZE:
            raise exceptions.ConfigurationError(
                f"a seal key has {_SECRET_BYTES_MIN} to "
                f"{hashlib.blake2b.MAX_KEY_SIZE} bytes, this one has {len(secret)}"
            )
        self._items = hashlib.blake2b(
            key=secret, digest_size=8, person=b"membuddies-item"
        )
        self._tags = hashlib.blake2b(
            key=secret, digest_size=TAG_BYTES, person=b"membuddies-tag"
        )
        self.key_id = hashlib.blake2b(
            key=secret, digest_size=KEY_ID_BYTES, person=b"membuddies-keyid"
        ).digest()

    def __repr__(self) -> str:
        return f"SealKey(key_id={self.key_id.hex()})"

    def seal(self, ids: page.Ids) -> page.Ids:
        """Seal bare ids, in order.

        :returns: an array of the same shape; not sorted
        """
        sealed = bytearray(8 * len(ids))
        raw = ids.astype("<u8").tobytes()
        for start in range(0, len(raw), 8):
            keyed = self._items.copy()
            keyed.update(raw[start : start + 8])
            sealed[start : start + 8] = keyed.digest()
        items = np.frombuffer(sealed, dtype="<u8").astype(np.uint64)
        return (items & ~_LEVEL_MASK) | page.levels(ids).astype(np.uint64)

    def tag(self, message: bytes) -> bytes:
        """What only a holder of the key can say of a message."""
        keyed = self._tags.copy()
        keyed.update(message)
        return keyed.digest()


@dataclasses.dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys that are valid now.

    :ivar first: seals and tags
    :ivar other: is known as well while the cloud changes its key
    """

    first: SealKey
    other: SealKey | None = None

    def __iter__(self) -> Iterator[SealKey]:
        yield self.first
        if self.other is not None:
            yield self.other

    def find(self, key_id: bytes) -> SealKey | None:
        """The key of that id, None if it is not valid here."""
        return next((key for key in self if key.key_id == key_id), None)

    @property
    def key_ids(self) -> tuple[bytes, ...]:
        return tuple(key.key_id for key in self)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Read a key file, which only its owner can read.

        A key is a line of hexadecimal digits; there may be a second one.

        :raises ConfigurationError: if the file is missing, readable by others,
            or holds no keys
        """
        name = os.fspath(path)
        try:
            with pathlib.Path(path).open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                text = file.read(_FILE_BYTES_MAX + 1)
        except OSError as error:
            raise exceptions.ConfigurationError(
                f"key file {name}: {error.strerror}; make one with "
                f"'openssl rand -hex 32' and copy it to every compute node and "
                f"controller"
            ) from None
        if mode & 0o077:
            raise exceptions.ConfigurationError(
                f"key file {name}: mode is {mode:04o}, others may read the key; "
                f"use 'chmod 0600 {name}'"
            )
        lines = text.split()
        if len(text) > _FILE_BYTES_MAX or not 1 <= len(lines) <= _KEYS_MAX:
            raise exceptions.ConfigurationError(
                f"key file {name}: one key is expected, or two while the key is "
                f"changed, each a line of 64 hexadecimal digits as "
                f"'openssl rand -hex 32' makes it"
            )
        keys = []
        for number, line in enumerate(lines, start=1):
            try:
                keys.append(SealKey(bytes.fromhex(line.decode("ascii"))))
            except ValueError:
                raise exceptions.ConfigurationError(
                    f"key file {name}: key {number} is not hexadecimal digits; make "
                    f"one with 'openssl rand -hex 32'"
                ) from None
            except exceptions.ConfigurationError as error:
                raise exceptions.ConfigurationError(
                    f"key file {name}: key {number}: {error}"
                ) from None
        return cls(*keys)


class KeyFile:
    """A key file that may change while a service runs.

    :raises ConfigurationError: if it cannot be used now
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self.ring = KeyRing.from_file(path)

    def refresh(self) -> bool:
        """Read the file again.

        :returns: whether it holds other keys than before, or in another order
        :raises ConfigurationError: if it cannot be used; the last keys stay
        """
        before, ring = self.ring, KeyRing.from_file(self._path)
        self.ring = ring
        return ring.key_ids != before.key_ids


def sealed_levels(items: page.Ids) -> page.Ids:
    """The level that each sealed item carries in its low 6 bits."""
    return items & _LEVEL_MASK
