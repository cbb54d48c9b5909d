# SPDX-License-Identifier: Apache-2.0
"""One machine of the lab: a host name, a file system view, and its processes.

A machine is a set of namespaces kept alive by its process 1.  Everything that runs
in it ends with that process.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import CommandFailed, LabError
from .layout import CONTROL, HOSTS, PROJECT_ROOT, Layout, Place

_INIT = Path(__file__).with_name("machine-init.sh")


@dataclass(frozen=True)
class Machine:
    """A machine of ``layout`` at ``place``; holds no state of its own."""

    layout: Layout
    place: Place

    @property
    def data(self) -> Path:
        """The directory of what this machine keeps."""
        return self.layout.data(self.place)

    @property
    def _pid_file(self) -> Path:
        return self.data / "pid"

    @property
    def pid(self) -> int:
        """The machine's process 1, numbered as outside of it."""
        try:
            return int(self._pid_file.read_text())
        except FileNotFoundError:
            raise LabError(f"machine {self.place.key} is not up") from None

    def boot(self, binds: Mapping[Path, Path]) -> None:
        """Starts process 1; ``binds`` maps sources to the paths they cover."""
        self.data.mkdir(parents=True, exist_ok=True)
        hosts_file = self.data / "hosts"
        hosts_file.write_text(
            "127.0.0.1 localhost\n"
            + "".join(
                f"{place.address} {place.hostname}\n" for place in (CONTROL, *HOSTS)
            )
        )
        ready = self.data / "ready"
        log = self.layout.logs / f"{self.place.key}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        unshare = "unshare --mount --uts --ipc --pid --fork --kill-child --mount-proc"
        argv = [
            *("ip", "netns", "exec", self.layout.namespace(self.place)),
            *unshare.split(),
            *(str(_INIT), self.place.hostname, str(hosts_file), str(ready)),
            *(f"{source}={target}" for source, target in binds.items()),
        ]
        outer = launch(argv, log)
        deadline = time.monotonic() + 20
        while not ready.exists():
            if ended(outer) is not None or time.monotonic() > deadline:
                raise LabError(f"{self.place.key} did not boot: {log.read_text()}")
            time.sleep(0.02)
        self._pid_file.write_text(str(only_child(outer)))

    def entering(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None
    ) -> list[str]:
        """The command that runs ``argv`` in this machine, from outside of it."""
        settings = [f"{name}={value}" for name, value in (env or {}).items()]
        return [
            *("nsenter", "--target", str(self.pid)),
            *("--mount", "--uts", "--ipc", "--net", "--pid"),
            *(f"--wd={PROJECT_ROOT}", "env", *settings, *argv),
        ]

    def run(
        self,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout_seconds: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in this machine to its end; its output is kept apart.

        :raises CommandFailed: it ended with another status than 0, and ``check``.
        :raises LabError: it did not end in time.
        """
        try:
            done = subprocess.run(
                self.entering(argv, env),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_seconds,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise LabError(
                f"on {self.place.key}: {' '.join(argv)} ran over {timeout_seconds} s"
            ) from None
        if check and done.returncode != 0:
            output = done.stdout + done.stderr
            raise CommandFailed(self.place.key, list(argv), done.returncode, output)
        return done


def launch(argv: list[str], log: Path) -> int:
    """Starts a process in a session of its own; its output is added to ``log``.

    It lives on when this process ends, and a Ctrl-C does not reach it.
    """
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawnp(
        argv[0],
        argv,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def ended(pid: int) -> int | None:
    """The exit status of a process that was launched here; None while it runs."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def only_child(pid: int) -> int | None:
    """The first child of a process, if it has one by now."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(children[0]) if children else None


def end(pids: Sequence[int]) -> None:
    """Kills processes and waits until they are gone (zombies count as gone)."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + 20
    while any(is_running(pid) for pid in pids):
        if time.monotonic() > deadline:
            raise LabError(f"processes survive SIGKILL: {pids}")
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
