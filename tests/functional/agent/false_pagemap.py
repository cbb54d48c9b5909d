# SPDX-License-Identifier: Apache-2.0
"""Scans that are told something false about a process's pages.

For showing that a test would notice: what a scan does that takes absent pages
for present, or merged ones for its own.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator

import pytest

from membuddies_agent import pagemap, procfs
from membuddies_nova.fingerprint import page
from tests.functional.agent import processes

PRESENT = 1 << 63
EXCLUSIVE = 1 << 56


@contextlib.contextmanager
def pagemap_says(child: processes.Child, entries: pagemap.Entries) -> Iterator[None]:
    """Scans see these entries in place of the kernel's."""
    truly_open = procfs.ProcessFiles.open

    def opened(files: procfs.ProcessFiles, name: str) -> int:
        return os.dup(file.fileno()) if name == "pagemap" else truly_open(files, name)

    with tempfile.TemporaryFile() as file, pytest.MonkeyPatch.context() as patch:
        file.seek(child.address // page.PAGE_SIZE * pagemap.ENTRY_BYTES)
        file.write(entries.tobytes())
        file.flush()
        patch.setattr(procfs.ProcessFiles, "open", opened)
        yield
