# SPDX-License-Identifier: Apache-2.0
"""A process whose memory is exactly what a test asks for.

It reads one JSON object from its first argument, prints the address of its
memory, and holds still until its standard input closes, but for orders that come
there, one a line, each answered by an empty line: unmap and replace, lists as
below; what replaces pages is written and not mergeable. Keys: pages; advice (for
the whole range); shared; write, zero, number, touch, lock and pageout: lists of
[first page, pages], for write with a seed behind. Zeros are written, a numbered
page begins with its own number, a touched one is only read, and a locked one stays
in memory whatever the machine does to save some.
"""

import ctypes
import json
import mmap
import random
import sys

PAGE_SIZE = 4096
MADV_PAGEOUT = 21
MAP_FIXED = 0x10

_libc = ctypes.CDLL(None)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    *(ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long),
)


def main() -> None:
    order = json.loads(sys.argv[1])
    sharing = mmap.MAP_SHARED if order.get("shared") else mmap.MAP_PRIVATE
    memory = mmap.mmap(-1, order["pages"] * PAGE_SIZE, sharing | mmap.MAP_ANONYMOUS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for advice in order.get("advice", []):
        memory.madvise(advice)
    for first, count, seed in order.get("write", []):
        start, size = first * PAGE_SIZE, count * PAGE_SIZE
        memory[start : start + size] = random.Random(seed).randbytes(size)
    for first, count in order.get("zero", []):
        start, size = first * PAGE_SIZE, count * PAGE_SIZE
        memory[start : start + size] = bytes(size)
    for first, count in order.get("number", []):
        for number in range(first, first + count):
            start = number * PAGE_SIZE
            memory[start : start + 8] = (number + 1).to_bytes(8, "little")
    for first, count in order.get("touch", []):
        for number in range(first, first + count):
            memory[number * PAGE_SIZE]
    for first, count in order.get("lock", []):
        locked = ctypes.CDLL(None, use_errno=True).mlock(
            ctypes.c_void_p(address + first * PAGE_SIZE),
            ctypes.c_size_t(count * PAGE_SIZE),
        )
        assert locked == 0, ctypes.get_errno()
    for first, count in order.get("pageout", []):
        memory.madvise(MADV_PAGEOUT, first * PAGE_SIZE, count * PAGE_SIZE)
    print(address, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        for first, count in order.get("unmap", []):
            _libc.munmap(address + first * PAGE_SIZE, count * PAGE_SIZE)
        for first, count in order.get("replace", []):
            start, size = address + first * PAGE_SIZE, count * PAGE_SIZE
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED
            protection = mmap.PROT_READ | mmap.PROT_WRITE
            _libc.mmap(start, size, protection, flags, -1, 0)
            ctypes.memset(start, 0x5A, size)
        print(flush=True)


main()
