# SPDX-License-Identifier: Apache-2.0
import mmap

from membuddies_nova.fingerprint import page

def read_stretch(
    *,
    pid: int,
    pagemap: int,
    memory: int,
    frame_flags: int,
    start: int,
    pages: int,
    seed: int,
    pinning: bool,
    zero_frame: int,
    blocks: bytearray | mmap.mmap,
    ids: page.Ids,
) -> tuple[int, int, float]: ...
