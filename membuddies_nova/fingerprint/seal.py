# SPDX-License-Identifier: Apache-2.0
"""Sealing: what leaves a compute node is useless without the cloud's key.

A bare page id tells whoever reads it that a guest holds a known page. A sealed
item is the keyed BLAKE2b (RFC 7693) of the id, so only equality is left, and
only among items under the same key. Its low 6 bits are replaced by the level
of the id, so that a fine sample can still be thinned to a coarser one.
"""

import hashlib
import os
import pathlib
import stat

import numpy as np

from membuddies_nova import exceptions
from membuddies_nova.fingerprint import page

KEY_ID_BYTES = 8
BARE = bytes(KEY_ID_BYTES)
"""Key id of items that are not sealed. They never leave the host."""

_SECRET_BYTES_MIN = 32
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
        self.key_id = hashlib.blake2b(
            key=secret, digest_size=KEY_ID_BYTES, person=b"membuddies-keyid"
        ).digest()

    def __repr__(self) -> str:
        return f"SealKey(key_id={self.key_id.hex()})"

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> "SealKey":
        """Read a key: hexadecimal digits in a file that only its owner reads.

        :raises ConfigurationError: if the file is missing, readable by others,
            or no key
        """
        name = os.fspath(path)
        try:
            with pathlib.Path(path).open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                text = file.read(1024)
        except OSError as error:
            raise exceptions.ConfigurationError(
                f"key file {name}: {error.strerror}; make one with "
                f"'openssl rand -hex 32' and copy it to every compute node"
            ) from None
        if mode & 0o077:
            raise exceptions.ConfigurationError(
                f"key file {name}: mode is {mode:04o}, others may read the key; "
                f"use 'chmod 0600 {name}'"
            )
        try:
            secret = bytes.fromhex(text.decode("ascii").strip())
        except ValueError:
            raise exceptions.ConfigurationError(
                f"key file {name}: not hexadecimal digits; make one with "
                f"'openssl rand -hex 32'"
            ) from None
        try:
            return cls(secret)
        except exceptions.ConfigurationError as error:
            raise exceptions.ConfigurationError(f"key file {name}: {error}") from None

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


def sealed_levels(items: page.Ids) -> page.Ids:
    """The level that each sealed item carries in its low 6 bits."""
    return items & _LEVEL_MASK
