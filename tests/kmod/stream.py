# SPDX-License-Identifier: Apache-2.0
"""What /dev/membuddies gives, as guest_kmod/membuddies_stream.h describes it."""

import dataclasses
import struct

import numpy as np

from membuddies_nova.fingerprint import page

_HEAD = struct.Struct("<IIII")
_BLOCK_IDS = 510


@dataclasses.dataclass(frozen=True, eq=False)
class Walk:
    """One walk over a guest's frames."""

    blocks: int
    pages: int
    zero_pages: int
    skipped_pages: int
    ids: page.Ids

    def count(self, content: bytes, seed: int = 0) -> int:
        """How often a page of this content was found."""
        (wanted,) = page.page_ids(content, seed)
        return int(np.count_nonzero(self.ids == wanted))


def parse(stream: bytes) -> Walk:
    """The blocks of a stream; nothing but whole blocks may be in it."""
    sums, ids, blocks = np.zeros(3, dtype=int), [], 0
    at = 0
    while at < len(stream):
        *counts, count = _HEAD.unpack_from(stream, at)
        assert count <= _BLOCK_IDS
        at += _HEAD.size
        ids.append(np.frombuffer(stream, "<u8", count, at))
        at += 8 * count
        sums += counts
        blocks += 1
    assert at == len(stream)
    joined = np.concatenate(ids) if ids else np.empty(0, dtype=np.uint64)
    return Walk(blocks, *map(int, sums), joined.astype(np.uint64))
