# SPDX-License-Identifier: Apache-2.0
"""Initial RAM file systems: cpio archives of the "newc" format, written directly.

The kernel unpacks the archive into its root file system, whose files are page cache:
every page of every file is a page of the guest's memory.  Format: the kernel's
Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import BinaryIO

_CONSOLE = (5, 1)  # Documentation/admin-guide/devices.txt


class Archive:
    """An archive being written; equal contents give equal bytes."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._inode = 0
        self._directories: set[PurePosixPath] = set()

    def add_file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Adds a regular file, and the directories above it."""
        self._add_parents(PurePosixPath(path))
        self._entry(path, stat.S_IFREG | mode, content)

    def add_console(self) -> None:
        """Adds /dev/console, which the kernel opens for init."""
        self._add_parents(PurePosixPath("/dev/console"))
        self._entry("/dev/console", stat.S_IFCHR | 0o600, device=_CONSOLE)

    def end(self) -> None:
        """Writes the trailer; the kernel reads on behind it in the next archive."""
        self._entry("TRAILER!!!", 0)

    def _add_parents(self, path: PurePosixPath) -> None:
        for parent in reversed(path.parents[:-1]):
            if parent not in self._directories:
                self._directories.add(parent)
                self._entry(str(parent), stat.S_IFDIR | 0o755)

    def _entry(
        self,
        path: str,
        mode: int,
        content: bytes = b"",
        device: tuple[int, int] = (0, 0),
    ) -> None:
        self._inode += 1
        name = path.lstrip("/").encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = [self._inode, mode, 0, 0, links, 0, len(content)]
        fields += [0, 0, *device, len(name), 0]
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        self._write_padded(header + name)
        self._write_padded(content)

    def _write_padded(self, data: bytes) -> None:
        self._output.write(data)
        self._output.write(b"\0" * (-len(data) % 4))


def add_installed(archive: Archive, paths: Iterable[Path]) -> None:
    """Adds files of this machine under their own names."""
    for path in paths:
        archive.add_file(str(path), path.read_bytes(), path.stat().st_mode & 0o777)
