# SPDX-License-Identifier: Apache-2.0
"""The long-running processes of a lab: started, watched, stopped, started again.

A service is known by its name.  Its record lies in the lab's directory, so another
process (``python -m tests.cloud.lab down``, a test) finds it.  A service is judged by
its process group: nsenter, which leads the group, ends before the daemon does.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import namespaces
from .errors import LabError, ServiceFailed
from .layout import PLACES, Layout
from .machine import Machine

_LISTENING = "0A"  # include/net/tcp_states.h, as /proc/net/tcp prints it


@dataclass(frozen=True)
class Service:
    """What to run, where (``ctl``, ``c1`` ...), and how it is known to be ready.

    With a ``port`` the service is ready when something listens there.
    """

    name: str
    where: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None


@dataclass(frozen=True)
class Services:
    """The services of one lab."""

    layout: Layout

    def log(self, name: str) -> Path:
        """Where a service's standard output and error go."""
        return self.layout.logs / f"{name}.log"

    def names(self) -> list[str]:
        """The services that were started and not stopped, by name."""
        return sorted(path.stem for path in self.layout.services.glob("*.json"))

    def start(self, service: Service, timeout_seconds: float = 90) -> None:
        """Starts a service and waits until it is ready; its log is appended to.

        :raises LabError: a service of that name runs.
        :raises ServiceFailed: it ended, or was not ready in time.
        """
        if self.is_alive(service.name):
            raise LabError(f"service {service.name} runs already")
        machine = Machine(self.layout, PLACES[service.where])
        self.layout.services.mkdir(parents=True, exist_ok=True)
        with self.log(service.name).open("ab") as output:
            leader = subprocess.Popen(
                machine.entering(service.argv, service.env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        record = {"group": leader.pid, **asdict(service)}
        self._record(service.name).write_text(json.dumps(record))
        if service.port is not None:
            self._wait_for_port(service, machine, leader, timeout_seconds)

    def stop(self, name: str, timeout_seconds: float = 30) -> None:
        """Ends a service by SIGTERM, and by SIGKILL when that takes too long."""
        self.kill(name, signal.SIGTERM)
        deadline = time.monotonic() + timeout_seconds
        while self.is_alive(name):
            if time.monotonic() > deadline:
                self.kill(name, signal.SIGKILL)
                deadline += timeout_seconds
            time.sleep(0.05)
        self._record(name).unlink(missing_ok=True)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to all processes of a service; waits for nothing."""
        for pid in self.processes(name):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def restart(self, name: str) -> None:
        """Stops a service and starts it again as it was started before."""
        service = self._read(name)
        self.stop(name)
        self.start(service)

    def is_alive(self, name: str) -> bool:
        """Whether the service runs, or is about to."""
        if self.processes(name):
            return True
        path = self._record(name)
        if not path.exists():
            return False
        leader = Path(f"/proc/{json.loads(path.read_text())['group']}")
        try:
            # A leader that has ended is empty here; a reused number is no nsenter.
            return (leader / "cmdline").read_bytes().startswith(b"nsenter\0")
        except (FileNotFoundError, ProcessLookupError):
            return False

    def processes(self, name: str) -> list[int]:
        """The service's processes, numbered as outside of its machine.

        The leader (nsenter) is not among them: it ends by itself when its child,
        the daemon, has ended.
        """
        path = self._record(name)
        if not path.exists():
            return []
        record = json.loads(path.read_text())
        place = PLACES[record["where"]]
        return [
            pid
            for pid in namespaces.pids_of(self.layout, place)
            if pid != record["group"] and _running_group(pid) == record["group"]
        ]

    def _wait_for_port(
        self,
        service: Service,
        machine: Machine,
        leader: "subprocess.Popen[bytes]",
        timeout_seconds: float,
    ) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not _listens(machine.pid, service.port):
            if leader.poll() is not None and not self.is_alive(service.name):
                what = f"ended with status {leader.returncode}"
                raise ServiceFailed(service.name, what, self.log(service.name))
            if time.monotonic() > deadline:
                what = f"was not ready after {timeout_seconds:.0f} s"
                raise ServiceFailed(service.name, what, self.log(service.name))
            time.sleep(0.1)

    def _record(self, name: str) -> Path:
        return self.layout.services / f"{name}.json"

    def _read(self, name: str) -> Service:
        path = self._record(name)
        if not path.exists():
            raise LabError(f"no service {name}; there are {', '.join(self.names())}")
        record = json.loads(path.read_text())
        del record["group"]
        return Service(**{**record, "argv": tuple(record["argv"])})


def _running_group(pid: int) -> int | None:
    """The process group of a process that has not ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, _parent, group = stat.rpartition(")")[2].split()[:3]
    return None if state in "ZX" else int(group)


def _listens(machine_pid: int, port: int | None) -> bool:
    """Whether a socket listens on ``port``, seen from outside of the machine."""
    wanted = f":{port:04X}"
    for table in ("tcp", "tcp6"):
        lines = Path(f"/proc/{machine_pid}/net/{table}").read_text().splitlines()[1:]
        for line in lines:
            _slot, local, _remote, state = line.split()[:4]
            if state == _LISTENING and local.endswith(wanted):
                return True
    return False
