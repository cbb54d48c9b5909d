# SPDX-License-Identifier: Apache-2.0
"""The reader of guest memory at full speed: a thin wrap of the C extension.

For the scan, where the extension was built; importing this module fails where
it was not. Files are opened and errors explained here, with the words of the
reader in Python; the extension only reads and hashes.
"""

import contextlib
import mmap
import os

from membuddies_agent import _scan, memory, pagemap
from membuddies_agent.procfs import ProcessFiles
from membuddies_agent.stretch import Found, StretchReader
from membuddies_nova.fingerprint.page import Ids

_BLOCKS_BYTES = 1 << 20
_NONE = -1
"""Instead of a descriptor, for a file that may not be opened."""


class CompiledReader(StretchReader):
    """Reads and hashes in C, with the GIL released."""

    def __init__(self, files: ProcessFiles, seed: int, *, pinning: bool) -> None:
        self._pid = files.process.pid
        self._seed = seed
        self._pinning = pinning
        self._zero_frame = pagemap.zero_frame() or 0
        with contextlib.ExitStack() as opened:
            self._pagemap = files.open("pagemap")
            opened.callback(os.close, self._pagemap)
            self._memory = files.open("mem")
            opened.callback(os.close, self._memory)
            self._frame_flags = pagemap.FrameFlags()
            opened.callback(self._frame_flags.close)
            # Aligned to a page, as the kernel copies fastest.
            self._blocks = mmap.mmap(
                -1, _BLOCKS_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
            )
            opened.callback(self._blocks.close)
            self._opened = opened.pop_all()

    def close(self) -> None:
        self._opened.close()

    def read(self, start: int, ids: Ids) -> Found:
        descriptor = self._frame_flags.descriptor
        try:
            found = _scan.read_stretch(
                pid=self._pid,
                pagemap=self._pagemap,
                memory=self._memory,
                frame_flags=_NONE if descriptor is None else descriptor,
                start=start,
                pages=len(ids),
                seed=self._seed,
                pinning=self._pinning,
                zero_frame=self._zero_frame,
                blocks=self._blocks,
                ids=ids,
            )
        except OSError as error:
            raise memory.refusal(self._pid, error.errno) from None
        return Found(*found)
