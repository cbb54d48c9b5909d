# SPDX-License-Identifier: Apache-2.0
"""The whole cloud: brought up in order, used, taken down without a trace.

A :class:`Cloud` keeps no state in memory: every process that makes one for the same
name drives the same cloud.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import openstack

from . import bringup, database, frames, identity, machine, namespaces, nova, steps
from .errors import LabError
from .frames import FrameCount
from .guests import Guests
from .ksm import Ksm
from .layout import CONTROL, HOSTS, PLACES, Layout, Place, venv_program
from .machine import Machine
from .services import Service, Services


def _silent(line: str) -> None:
    del line


def _place(host: str) -> Place:
    for place in HOSTS:
        if place.service_host == host:
            return place
    raise LabError(f"no host {host!r} in this lab")


@dataclass(frozen=True)
class Cloud:
    """A real OpenStack with three compute hosts, on this machine."""

    layout: Layout = field(default_factory=Layout)

    # Life ------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether the cloud came up wholly and was not taken down."""
        return self._up_mark.exists() and namespaces.exist(self.layout)

    def up(self, tell: Callable[[str], None] = _silent) -> None:
        """Brings the cloud up; does nothing when it is up.

        Whatever ends it early (a failure, Ctrl-C) takes everything down, except for
        the logs when a part failed.

        :param tell: gets one line a step.
        :raises LabError: what failed, with the last lines of its log.
        """
        if os.geteuid() != 0:
            raise LabError("the cloud needs root: it makes namespaces and mounts")
        with self._locked():
            if self.is_up:
                tell("the cloud is up already")
                return
            self._take_down()
            try:
                namespaces.create(self.layout)
                steps.run(bringup.steps(self.layout), tell, self._end_processes)
                self._write_enter_script()
                self._up_mark.touch()
            except LabError:
                self._take_down(keep_logs=True)
                raise
            except BaseException:
                self._take_down()
                raise

    def down(self) -> None:
        """Ends every process, mount and namespace of this cloud, and its data."""
        with self._locked():
            self._take_down()

    def _end_processes(self) -> None:
        while pids := namespaces.pids(self.layout):
            machine.end(pids)

    def _take_down(self, keep_logs: bool = False) -> None:
        """Everything is thrown away, so that nothing needs to end in order."""
        self.ksm.restore()
        self._end_processes()
        namespaces.delete(self.layout)
        if not self.layout.root.exists():
            return
        for path in self.layout.root.iterdir():
            if keep_logs and path == self.layout.logs:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        if not keep_logs:
            self.layout.root.rmdir()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.layout.lock.parent.mkdir(parents=True, exist_ok=True)
        with self.layout.lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @property
    def _up_mark(self) -> Path:
        return self.layout.root / "up"

    # Use -------------------------------------------------------------------

    @property
    def hosts(self) -> tuple[str, ...]:
        """The compute hosts as Nova spells them."""
        return tuple(host.service_host for host in HOSTS)

    def inside(self) -> contextlib.AbstractContextManager[None]:
        """Moves the calling thread into the control plane's network namespace.

        Only there can its services be reached (``http://10.77.0.1:5000/v3``).
        """
        return namespaces.entered(self.layout)

    def connect(self, login: str = "admin") -> openstack.connection.Connection:
        """openstacksdk's connection as ``admin`` (project admin), ``red`` or ``blue``
        (administrator in that tenant's project), ``reader`` or ``mover`` (the two
        application credentials; see :mod:`.identity`).

        Use it :meth:`inside` only.
        """
        return identity.connect(self.layout, login)

    def client_env(self, login: str = "admin") -> dict[str, str]:
        """The environment of OpenStack clients and of ours, as ``login``."""
        return {
            "OS_CLIENT_CONFIG_FILE": str(self.layout.clouds_yaml),
            "OS_CLOUD": login,
        }

    def auth_options(self, login: str) -> dict[str, str]:
        """``login`` as keystoneauth's options, for a service's configuration file."""
        return identity.auth_options(self.layout, login)

    def run(
        self,
        argv: Sequence[str],
        where: str = "ctl",
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout_seconds: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in a machine (``ctl``, ``c1``, ``c2``, ``c3``) to its end.

        :raises CommandFailed: it ended with another status than 0, and ``check``.
        """
        there = Machine(self.layout, PLACES[where])
        return there.run(argv, env, check, timeout_seconds)

    def query(self, sql: str) -> list[list[str]]:
        """The rows that a statement selects in the lab's MariaDB, as text."""
        return database.query(self.layout, sql)

    def wait_until_hosts_report(
        self, since: float, timeout_seconds: float = 150
    ) -> None:
        """Waits until Nova has heard of every compute host after a moment.

        For whoever had the broker or the database away: a guest that is deleted
        while Nova takes its host for down runs on there.  Use it :meth:`inside` only.

        :param since: seconds since the epoch.
        """
        compute = self.connect().compute
        deadline = time.monotonic() + timeout_seconds
        while True:
            services = list(compute.services(binary="nova-compute"))
            beats = [datetime.fromisoformat(each.updated_at) for each in services]
            if all(beat.replace(tzinfo=UTC).timestamp() > since for beat in beats):
                return
            if time.monotonic() > deadline:
                raise LabError(f"hosts do not report to Nova: {services}")
            time.sleep(0.5)

    # Guests and their memory -------------------------------------------------

    def guests(self, login: str = "red") -> Guests:
        """The guests of one tenant; use it :meth:`inside` only."""
        return Guests(self.connect(login))

    def virsh(self, host: str, *arguments: str) -> str:
        """What virsh prints on a host of Nova's.

        :raises CommandFailed: libvirt refused.
        """
        command = ["virsh", "--connect", "qemu:///system", *arguments]
        return self.run(command, where=_place(host).key).stdout

    def guest_pids(self, host: str) -> dict[str, int]:
        """Instance uuid -> QEMU's pid, of the guests that run on a host of Nova's."""
        return frames.guests_on(self.layout, _place(host))

    def frames(self) -> dict[str, FrameCount]:
        """The physical memory behind each host's guests; keys as Nova spells them."""
        return frames.count_hosts(self.layout, HOSTS)

    def shared_with_hosts(self, guest: str) -> dict[str, int]:
        """Frames that a guest has in common with each host's other guests.

        :param guest: the instance's uuid; the guest must run
        """
        return frames.shared_with_hosts(self.layout, HOSTS, guest)

    @property
    def ksm(self) -> Ksm:
        """The machine's page merging, for ``with cloud.ksm.merging():``."""
        return Ksm(self.layout)

    # Services --------------------------------------------------------------

    def start_service(
        self,
        name: str,
        argv: Sequence[str],
        where: str = "ctl",
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        queue: str | None = None,
    ) -> None:
        """Starts a process that lives until it is stopped or the cloud goes down.

        Returns when something listens on ``port`` of that machine and something
        consumes from ``queue`` ("membuddies/QUEUE" in the broker), if these are given.

        :raises ServiceFailed: it ended early, or was not ready in 90 s.
        """
        service = Service(name, where, tuple(argv), dict(env or {}), port, queue)
        Services(self.layout).start(service)

    def stop_service(self, name: str) -> None:
        """Ends a service by SIGTERM, after 30 s by SIGKILL."""
        Services(self.layout).stop(name)

    def restart_service(self, name: str) -> None:
        """Stops a service and starts it again as before (also one that ended)."""
        Services(self.layout).restart(name)

    def kill_service(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to all processes of a service; waits for nothing."""
        Services(self.layout).kill(name, number)

    def service_processes(self, name: str) -> list[int]:
        """The processes of a service, numbered as outside of its machine."""
        return Services(self.layout).processes(name)

    def service_log(self, name: str) -> Path:
        """Where a service's output goes."""
        return Services(self.layout).log(name)

    def services(self) -> dict[str, bool]:
        """Every service that was started and not stopped: whether it is alive."""
        services = Services(self.layout)
        return {name: services.is_alive(name) for name in services.names()}

    def configure_scheduler(self, workers: int = 1, extra: str = "") -> None:
        """Starts nova-scheduler again with other configuration text added."""
        Services(self.layout).stop("nova-scheduler")
        nova.start_scheduler(self.layout, workers, extra)

    def machine_pid(self, where: str) -> int:
        """Process 1 of a machine: what nsenter needs to enter it."""
        return Machine(self.layout, PLACES[where]).pid

    @property
    def enter_script(self) -> Path:
        """``enter COMMAND ...``: runs a command on the control plane as admin.

        Its home is the lab's: there our commands find their configuration.
        """
        return self.layout.root / "enter"

    def _write_enter_script(self) -> None:
        control = Machine(self.layout, CONTROL)
        path = f"{Path(venv_program('python')).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
        env = {
            **self.client_env(),
            "HOME": str(self.layout.home),
            "PATH": path,
            "TERM": os.environ.get("TERM", "dumb"),
        }
        self.layout.home.mkdir()
        command = " ".join(control.entering([], env))
        self.enter_script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        self.enter_script.chmod(0o755)
