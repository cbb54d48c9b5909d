# SPDX-License-Identifier: Apache-2.0
"""Real processes to scan: memory of known content, and QEMU without a kernel."""

import contextlib
import dataclasses
import json
import pathlib
import random
import subprocess
import sys
from collections.abc import Iterator

import numpy as np

from membuddies_agent import pagemap, procfs
from membuddies_nova.fingerprint import page

MERGEABLE = 12
HUGE_PAGE = 14

CHILD = pathlib.Path(__file__).with_name("memory_child.py")


@dataclasses.dataclass(frozen=True)
class Child:
    """A process that holds memory still.

    :ivar address: of its memory
    """

    popen: subprocess.Popen
    process: procfs.Process
    address: int
    pages: int

    def entries(self) -> pagemap.Entries:
        """The pagemap of its memory, as it is now."""
        with (
            procfs.ProcessFiles(self.process) as files,
            contextlib.closing(pagemap.PageMap(files)) as table,
        ):
            return table.entries(self.address, self.pages)

    def order(self, **order: object) -> None:
        """Have it change its memory, and wait until it has."""
        self.popen.stdin.write(json.dumps(order).encode() + b"\n")
        self.popen.stdin.flush()
        assert self.popen.stdout.readline() == b"\n"

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()


def child(pages: int, **order: object) -> contextlib.AbstractContextManager[Child]:
    """A process with memory as ``memory_child`` describes it."""
    order.setdefault("advice", [MERGEABLE])
    return running(pages, str(CHILD), json.dumps({"pages": pages, **order}))


@contextlib.contextmanager
def running(pages: int, *program: str) -> Iterator[Child]:
    """A program in Python that tells the address of its memory, until it is killed."""
    popen = subprocess.Popen(
        [sys.executable, *program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        address = int(popen.stdout.readline())
        yield Child(popen, procfs.process(popen.pid), address, pages)
    finally:
        popen.kill()
        popen.wait()
        popen.stdin.close()
        popen.stdout.close()


def written_ids(seed: int, pages: int) -> page.Ids:
    """The ids of pages that a child wrote with a seed."""
    return page.page_ids(random.Random(seed).randbytes(pages * page.PAGE_SIZE))


def sorted_ids(*parts: page.Ids) -> list[int]:
    return np.sort(np.concatenate(parts)).tolist()


@contextlib.contextmanager
def qemu(
    *arguments: str,
    uuid: str = "6f0c2f3e-0000-4000-8000-000000000001",
    memory_mb: int = 64,
    machine: str = "pc",
    running: bool = True,
) -> Iterator[procfs.Process]:
    """A QEMU whose firmware finds nothing to boot."""
    command = ["qemu-system-x86_64", "-display", "none", "-nodefaults"]
    command += ["-machine", f"{machine},accel=tcg", "-m", str(memory_mb), "-uuid", uuid]
    command += ["-qmp", "stdio", *([] if running else ["-S"]), *arguments]
    popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        # It answers in its main loop, once all of its memory is there.
        popen.stdin.write(b'{"execute": "qmp_capabilities"}\n')
        popen.stdin.flush()
        answers = [popen.stdout.readline() for _ in range(2)]
        assert b'"return"' in answers[1], f"QEMU ended: {answers}"
        yield procfs.process(popen.pid)
    finally:
        popen.kill()
        popen.communicate()
