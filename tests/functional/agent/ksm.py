# SPDX-License-Identifier: Apache-2.0
"""The kernel's one KSM, borrowed: locked, set up, driven, given back.

Everyone on a machine who changes KSM's settings holds the lock, whose path the
environment variable MEMBUDDIES_KSM_LOCK names. ``run`` is never set to 2, which
would un-merge what others measure.
"""

import contextlib
import fcntl
import io
import os
import pathlib
import sys
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from membuddies_agent import pagemap
from tests.functional.agent import processes

KPAGEFLAGS = pathlib.Path("/proc/kpageflags")
KSM = pathlib.Path("/sys/kernel/mm/ksm")
LOCK = pathlib.Path(os.environ.get("MEMBUDDIES_KSM_LOCK", "/tmp/membuddies-ksm.lock"))

_KSM_BIT = 21
_FAST = {
    "smart_scan": 0,
    "use_zero_pages": 0,
    "pages_to_scan": 20000,
    "sleep_millisecs": 1,
}
_RESTORED = ("sleep_millisecs", "pages_to_scan", "smart_scan", "use_zero_pages", "run")


def value(name: str) -> int:
    return int((KSM / name).read_text())


def _set(name: str, number: int) -> None:
    (KSM / name).write_text(str(number))


@contextlib.contextmanager
def _hurried() -> Iterator[None]:
    """ksmd before all else, because it hardly runs on a busy machine otherwise.

    A container may not see it, and waits.
    """
    ksmd = [
        int(entry.parent.name)
        for entry in pathlib.Path("/proc").glob("[0-9]*/comm")
        if _content(entry) == "ksmd\n"
    ]
    before = [os.getpriority(os.PRIO_PROCESS, pid) for pid in ksmd]
    try:
        for pid in ksmd:
            os.setpriority(os.PRIO_PROCESS, pid, -20)
        yield
    finally:
        for pid, niceness in zip(ksmd, before, strict=True):
            os.setpriority(os.PRIO_PROCESS, pid, niceness)


def _content(file: pathlib.Path) -> str:
    with contextlib.suppress(OSError):
        return file.read_text()
    return ""


@contextlib.contextmanager
def borrowed(**settings: int) -> Iterator[None]:
    """KSM stopped and set to merge fast; all settings restored afterwards."""
    with LOCK.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        names = [name for name in _RESTORED if (KSM / name).exists()]
        before = {name: value(name) for name in names}
        try:
            for name, number in ({"run": 0} | _FAST | settings).items():
                if name in before:
                    _set(name, number)
            with _hurried():
                yield
        finally:
            for name, number in before.items():
                # 2 would un-merge now; that was then, and 0 keeps its effect.
                _set(name, 0 if (name, number) == ("run", 2) else number)


def converge(scans_alike: int = 3, timeout_seconds: float = 120) -> None:
    """Let KSM merge until nothing changes any more, then stop it."""
    _set("run", 1)
    try:
        deadline = time.monotonic() + timeout_seconds
        alike = 0
        seen = (value("full_scans"), value("pages_sharing"))
        while alike < scans_alike:
            assert time.monotonic() < deadline, "KSM does not converge"
            time.sleep(0.05)
            scans, sharing = value("full_scans"), value("pages_sharing")
            if scans == seen[0]:
                continue
            same = sharing and abs(sharing - seen[1]) <= 0.001 * sharing
            alike = alike + 1 if same else 0
            seen = (scans, sharing)
    finally:
        _set("run", 0)


def merge(pages: int, *children: processes.Child, timeout_seconds: float = 120) -> None:
    """Let KSM merge until so many pages of each child are merged, then stop it.

    Quicker than ``converge``, and deaf to what else this machine's KSM does.
    """
    _set("run", 1)
    try:
        deadline = time.monotonic() + timeout_seconds
        while any(_merging_pages(child) != pages for child in children):
            assert time.monotonic() < deadline, "KSM does not merge"
            time.sleep(0.05)
    finally:
        _set("run", 0)


def _merging_pages(child: processes.Child) -> int:
    return int(pathlib.Path(f"/proc/{child.process.pid}/ksm_merging_pages").read_text())


def merged(child: processes.Child) -> npt.NDArray[np.bool_]:
    """For each page of a child's memory whether KSM owns its frame."""
    entries = child.entries()
    with KPAGEFLAGS.open("rb", buffering=0) as file:
        flags = np.array(
            [_frame_flags(file, int(frame)) for frame in pagemap.frames(entries)],
            dtype=np.uint64,
        )
    is_ksm = (flags >> np.uint64(_KSM_BIT) & np.uint64(1)) == 1
    return is_ksm & pagemap.present(entries)


def _frame_flags(file: io.FileIO, frame: int) -> int:
    return int.from_bytes(os.pread(file.fileno(), 8, frame * 8), sys.byteorder)
