# SPDX-License-Identifier: Apache-2.0
"""A process whose pages are alike and different as those of a recorded guest.

Its argument is a page list (.npy). Each id becomes 4096 bytes that follow from
it alone, the id of the zero page becomes zeros: so what two recorded guests had
in common, two such processes have, too. It prints the address of its memory,
which KSM may merge, and holds still until its standard input closes.
"""

import ctypes
import mmap
import sys

import numpy as np

from membuddies_nova.fingerprint import page

WORDS = page.PAGE_SIZE // 8
STEP_PAGES = 1024


def main() -> None:
    ids = np.load(sys.argv[1])
    memory = mmap.mmap(
        -1, len(ids) * page.PAGE_SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    )
    memory.madvise(mmap.MADV_MERGEABLE)
    words = np.frombuffer(memory, dtype=np.uint64).reshape(len(ids), WORDS)
    odd = np.arange(WORDS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    is_zero = ids == np.uint64(page.zero_page_id())
    for start in range(0, len(ids), STEP_PAGES):
        part = slice(start, start + STEP_PAGES)
        words[part] = ids[part, np.newaxis] * odd
        words[part][is_zero[part]] = 0
    print(ctypes.addressof(ctypes.c_char.from_buffer(memory)), flush=True)
    sys.stdin.read()


main()
