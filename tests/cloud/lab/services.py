# SPDX-License-Identifier: Apache-2.0
"""The long-running processes of a lab: started, watched, stopped, started again.

A service is known by its name.  Its record lies in the lab's directory, so another
process (``python -m tests.cloud.lab down``, a test) finds it.  A service is judged by
its sessions: that of nsenter, which ends before the daemon does, and that of the
daemon, if it makes one of its own.  What leaves both (libvirt's QEMUs, epmd) is not
the service's any more.
"""

import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn

import amqp  # type: ignore[import-untyped]

from . import namespaces
from .errors import LabError, ServiceFailed
from .layout import CONTROL_ADDRESS, PASSWORD, PLACES, PORTS, Layout
from .machine import Machine, ended, launch, only_child

_LISTENING = "0A"  # include/net/tcp_states.h, as /proc/net/tcp prints it


@dataclass(frozen=True)
class Service:
    """What to run, where (``ctl``, ``c1`` ...), and how it is known to be ready.

    With a ``port`` the service is ready when something listens there; with a
    ``queue`` ("VHOST/QUEUE"), when something consumes from that queue of the broker.
    With neither it is ready at once.
    """

    name: str
    where: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    queue: str | None = None


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
        leader = launch(
            machine.entering(service.argv, service.env), self.log(service.name)
        )
        while (daemon := only_child(leader)) is None:
            if (status := ended(leader)) is not None:
                self._fail(service, f"ended with status {status}")
            time.sleep(0.01)
        record = {"sessions": [leader, daemon], **asdict(service)}
        self._record(service.name).write_text(json.dumps(record))
        deadline = time.monotonic() + timeout_seconds
        while not _is_ready(service, machine):
            if (status := ended(leader)) is not None:
                self._fail(service, f"ended with status {status}")
            if time.monotonic() > deadline:
                self._fail(service, f"was not ready after {timeout_seconds:.0f} s")
            time.sleep(0.1)

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
        """Whether any process of the service runs."""
        return bool(self.processes(name))

    def processes(self, name: str) -> list[int]:
        """The service's processes, the oldest first, numbered as outside.

        nsenter is not among them: it ends by itself when its child has ended.
        """
        path = self._record(name)
        if not path.exists():
            return []
        record = json.loads(path.read_text())
        sessions = record["sessions"]
        there = namespaces.pids_of(self.layout, PLACES[record["where"]])
        begun = {
            pid: begin.ticks
            for pid in there
            if pid != sessions[0]
            and (begin := _begin(pid)) is not None
            and begin.session in sessions
        }
        return sorted(begun, key=lambda pid: (begun[pid], pid))

    def _fail(self, service: Service, what: str) -> NoReturn:
        raise ServiceFailed(service.name, what, self.log(service.name))

    def _record(self, name: str) -> Path:
        return self.layout.services / f"{name}.json"

    def _read(self, name: str) -> Service:
        path = self._record(name)
        if not path.exists():
            raise LabError(f"no service {name}; there are {', '.join(self.names())}")
        record = json.loads(path.read_text())
        del record["sessions"]
        return Service(**{**record, "argv": tuple(record["argv"])})


class _Begin(NamedTuple):
    session: int
    ticks: int


def _begin(pid: int) -> _Begin | None:
    """The session and the start, since the machine's, of a process that runs."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # Numbers come round again; fields as in proc(5), from the third on.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else _Begin(int(fields[3]), int(fields[19]))


def _is_ready(service: Service, machine: Machine) -> bool:
    if service.port is not None and not _listens(machine.pid, service.port):
        return False
    return service.queue is None or _is_consumed(machine.layout, service.queue)


def _is_consumed(layout: Layout, queue: str) -> bool:
    """Whether something consumes from "VHOST/QUEUE"; the user is named as the vhost."""
    vhost, _, name = queue.partition("/")
    address = f"{CONTROL_ADDRESS}:{PORTS['broker']}"
    with (
        namespaces.entered(layout),
        amqp.Connection(address, vhost, PASSWORD, virtual_host=vhost) as connection,
    ):
        try:
            found = connection.channel().queue_declare(name, passive=True)
        except amqp.NotFound:
            return False
        return bool(found.consumer_count)


def _listens(machine_pid: int, port: int) -> bool:
    """Whether a socket listens on ``port``, seen from outside of the machine."""
    wanted = f":{port:04X}"
    for table in ("tcp", "tcp6"):
        lines = Path(f"/proc/{machine_pid}/net/{table}").read_text().splitlines()[1:]
        for line in lines:
            _slot, local, _remote, state = line.split()[:4]
            if state == _LISTENING and local.endswith(wanted):
                return True
    return False
