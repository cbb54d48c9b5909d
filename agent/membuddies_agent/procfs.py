# SPDX-License-Identifier: Apache-2.0
"""Processes as /proc shows them: who they are, and their files.

For whoever scans a process. A pid alone is never trusted: a process is its pid
and its start time, and its files are opened relative to its directory, which
the kernel ties to that very process. See proc_pid_stat(5).

A QEMU that lives in another pid namespace is another host's (a container, a
nested host) and is never taken for ours.
"""

import contextlib
import dataclasses
import os
import pathlib
import time
import uuid
from collections.abc import Iterator

from membuddies_agent import capabilities
from membuddies_agent.errors import NoFingerprint
from membuddies_nova.facts import Reason

PROC = pathlib.Path("/proc")

_START_TIME_FIELD = 22
_NAME_END_FIELD = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Process:
    """One process, told apart from a later one that gets the same pid.

    :ivar start_ticks: start time in clock ticks since the machine booted
    """

    pid: int
    start_ticks: int


class ProcessFiles:
    """The open /proc directory of one process.

    :param process: whose directory to open
    :param root: where /proc is mounted
    :raises NoFingerprint: if that process has ended
    """

    def __init__(self, process: Process, root: pathlib.Path = PROC) -> None:
        self.process = process
        self._path = root / str(process.pid)
        try:
            self._directory = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            raise _gone(process) from None
        try:
            self.check_alive()
        except NoFingerprint:
            os.close(self._directory)
            raise

    def __enter__(self) -> "ProcessFiles":
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._directory)

    def open(self, name: str) -> int:
        """Open a file for reading and return its descriptor.

        :raises NoFingerprint: if the process ended, or the kernel refuses
        """
        try:
            return os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory)
        except (FileNotFoundError, ProcessLookupError):
            raise _gone(self.process) from None
        except PermissionError:
            raise NoFingerprint(
                Reason.UNREADABLE, capabilities.refusal(str(self._path / name))
            ) from None

    def text(self, name: str) -> str:
        """The whole of a file.

        :raises NoFingerprint: as ``open``
        """
        try:
            with open(self.open(name), encoding="utf-8", errors="replace") as file:
                return file.read()
        except (FileNotFoundError, ProcessLookupError):
            raise _gone(self.process) from None
        except PermissionError:
            raise NoFingerprint(
                Reason.UNREADABLE, capabilities.refusal(str(self._path / name))
            ) from None

    def check_alive(self) -> None:
        """Make sure that the process has not ended.

        :raises NoFingerprint: if it has, even if its pid is in use again
        """
        if _start_ticks(self.text("stat")) != self.process.start_ticks:
            raise _gone(self.process)


def process(pid: int, root: pathlib.Path = PROC) -> Process:
    """The process that has a pid now.

    :raises NoFingerprint: if there is none
    """
    try:
        stat = (root / str(pid) / "stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        raise NoFingerprint(Reason.GONE, f"there is no process {pid}") from None
    return Process(pid, _start_ticks(stat))


def ticks_ago(seconds: float) -> float:
    """The start time of a process that started so many seconds ago."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    return (now - seconds) * os.sysconf("SC_CLK_TCK")


def qemu_processes(root: pathlib.Path = PROC) -> dict[str, Process]:
    """This host's QEMU processes by the uuid on their command lines.

    Only processes of the same pid namespace as the agent's are taken.
    """
    own_namespace = _pid_namespace(root / "self")
    found = {}
    for entry in root.iterdir():
        if not entry.name.isdigit():
            continue
        # A process may end between any two of these reads, and the next is
        # looked at all the same.
        with contextlib.suppress(OSError, NoFingerprint, ValueError):
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            if b"-uuid" not in arguments or b"qemu" not in arguments[0].lower():
                continue
            if _is_elsewhere(entry, own_namespace):
                continue
            text = arguments[arguments.index(b"-uuid") + 1].decode("ascii")
            found[str(uuid.UUID(text))] = process(int(entry.name), root)
    return found


def command_names(root: pathlib.Path = PROC) -> Iterator[str]:
    """The name of each process, as its ``comm`` file tells it."""
    for entry in root.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                yield (entry / "comm").read_text("utf-8", "replace").rstrip("\n")


def _is_elsewhere(directory: pathlib.Path, own_namespace: str) -> bool:
    try:
        return _pid_namespace(directory) != own_namespace
    except PermissionError:
        # Who may not see that may not scan it either, and a scan says why.
        return False


def _pid_namespace(directory: pathlib.Path) -> str:
    return os.readlink(directory / "ns" / "pid")


def _start_ticks(stat: str) -> int:
    # The name in parentheses may hold spaces and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    return int(fields[_START_TIME_FIELD - _NAME_END_FIELD - 1])


def _gone(process: Process) -> NoFingerprint:
    return NoFingerprint(Reason.GONE, f"process {process.pid} has ended")
