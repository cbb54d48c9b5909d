# SPDX-License-Identifier: Apache-2.0
"""A real MariaDB and a real RabbitMQ, for tests and benchmarks, on loopback.

Each is a context manager that runs the Debian package's server as an own process
with its data in a given directory. ``stop`` and ``start`` take it away and bring
it back on the same ports with the same data. Nothing of the system's own
services is touched. Needs root, as those servers change user otherwise.
"""

import abc
import base64
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any, Self

import pymysql

_START_SECONDS = 120
_STOP_SECONDS = 60
_USER = "guest"


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nobody listens now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Process:
    """A child that ends with us, even when we are killed."""

    def __init__(
        self, command: list[str], log: pathlib.Path, environment: dict[str, str]
    ) -> None:
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=log.parent,
            )
        self._log = log

    @property
    def runs(self) -> bool:
        return self._child.poll() is None

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Return when it is ready; its log is in the error if it never is."""
        end = time.monotonic() + _START_SECONDS
        while not ready():
            if not self.runs or time.monotonic() > end:
                self.end(signal.SIGKILL)
                text = self._log.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{self._log.stem} did not start:\n{text}")
            time.sleep(0.1)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        self._child.send_signal(number)
        try:
            self._child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


class Server(abc.ABC):
    """A server that can be taken away and brought back."""

    _process: Process | None = None

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory

    @abc.abstractmethod
    def start(self) -> None:
        """Start it and return when it answers."""

    def stop(self) -> None:
        """End it as an operator would, and return when it has ended."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.end(number)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()


class MariaDB(Server):
    """A MariaDB server with an empty data directory.

    :param durable: flush every commit, as MariaDB does by default; without it a
        crash of the machine may cost the data, a killed server does not
    :ivar port: on 127.0.0.1; user root has no password
    """

    def __init__(self, directory: pathlib.Path, *, durable: bool = False) -> None:
        super().__init__(directory)
        self._durable = durable
        self.port = free_port()
        self._data = directory / "mariadb"
        subprocess.run(
            [
                "mariadb-install-db",
                "--no-defaults",
                "--user=root",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                f"--datadir={self._data}",
            ],
            check=True,
            capture_output=True,
        )

    def start(self) -> None:
        # Of its own: a server that starts deletes all temporary tables there, and
        # one whose temporary table vanishes crashes.
        scratch = self.directory / "mariadb-tmp"
        scratch.mkdir(exist_ok=True)
        command = [
            "mariadbd",
            "--no-defaults",
            "--user=root",
            f"--datadir={self._data}",
            f"--tmpdir={scratch}",
            # Relative to the data directory: a socket's path must be short.
            "--socket=mariadb.sock",
            f"--pid-file={self.directory / 'mariadb.pid'}",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            "--skip-name-resolve",
            "--max-connections=200",
            "--innodb-buffer-pool-size=128M",
        ]
        if not self._durable:
            command += [
                "--innodb-flush-log-at-trx-commit=2",
                "--innodb-flush-method=nosync",
            ]
        log = self.directory / "mariadb.log"
        self._process = Process(command, log, dict(os.environ))
        self._process.wait_until(self._answers)

    def create_database(self, name: str) -> str:
        """Create an empty database: its SQLAlchemy URL."""
        self.execute(f"CREATE DATABASE `{name}`")
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{name}"

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE `{name}`")

    def execute(self, statement: str) -> tuple[tuple[Any, ...], ...]:
        """Execute one statement as root: its rows."""
        with (
            contextlib.closing(
                pymysql.connect(host="127.0.0.1", port=self.port, user="root")
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return cursor.fetchall()

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except pymysql.err.OperationalError:
            return False
        return True


class RabbitMQ(Server):
    """A RabbitMQ broker with its own epmd, node name and cookie.

    :ivar port: AMQP on 127.0.0.1, user and password ``guest``
    :ivar management_port: RabbitMQ's HTTP API, on the same address
    """

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(directory)
        self.port = free_port()
        self.management_port = free_port()
        self._epmd_port = free_port()
        self._epmd: Process | None = None
        home = directory / "rabbitmq"
        home.mkdir()
        configuration = home / "rabbitmq.conf"
        configuration.write_text(
            f"""\
listeners.tcp.1 = 127.0.0.1:{self.port}
management.tcp.ip = 127.0.0.1
management.tcp.port = {self.management_port}
loopback_users = none
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB
log.console = true
log.console.level = warning
log.file = false
"""
        )
        plugins = home / "enabled_plugins"
        plugins.write_text("[rabbitmq_management].\n")
        (home / "env.conf").touch()
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_NODENAME": f"membuddies{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONF_ENV_FILE": str(home / "env.conf"),
            "RABBITMQ_CONFIG_FILE": str(configuration),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_PID_FILE": str(home / "rabbitmq.pid"),
            # Erlang's schedulers else spin for a while before they sleep.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "+sbwt none +sbwtdcpu none +sbwtdio none"
                " -kernel inet_dist_use_interface {127,0,0,1}"
            ),
            # The start script then becomes the broker instead of its parent.
            "RUNNING_UNDER_SYSTEMD": "1",
        }

    def start(self) -> None:
        if self._epmd is None:
            self._epmd = Process(
                ["epmd"], self.directory / "epmd.log", self._environment
            )
        self._process = Process(
            ["/usr/lib/rabbitmq/bin/rabbitmq-server"],
            self.directory / "rabbitmq.log",
            self._environment,
        )
        self._process.wait_until(self._answers)

    def create_vhost(self, name: str) -> str:
        """Create an empty virtual host: its transport URL."""
        self.ask("PUT", f"/api/vhosts/{name}")
        return f"rabbit://{_USER}:{_USER}@127.0.0.1:{self.port}/{name}"

    def delete_vhost(self, name: str) -> None:
        self.ask("DELETE", f"/api/vhosts/{name}")

    def messages(self, vhost: str) -> dict[str, int]:
        """How many messages wait in each queue, by the queue's name.

        The broker counts anew every five seconds.
        """
        queues = self.ask("GET", f"/api/queues/{vhost}")
        return {queue["name"]: queue.get("messages", 0) for queue in queues}

    def ask(self, method: str, path: str) -> Any:
        """One request to RabbitMQ's HTTP API: its JSON answer, or None."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.management_port, timeout=30
        )
        token = base64.b64encode(f"{_USER}:{_USER}".encode()).decode()
        with contextlib.closing(connection):
            connection.request(
                method, path, headers={"Authorization": f"Basic {token}"}
            )
            answer = connection.getresponse()
            body = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"RabbitMQ: {method} {path}: {answer.status} {body!r}")
        return json.loads(body) if body else None

    def __exit__(self, *_error: object) -> None:
        # It takes seconds to end properly, for a directory that is thrown away.
        self.kill()
        if self._epmd is not None:
            self._epmd.end()
            self._epmd = None

    def _answers(self) -> bool:
        try:
            self.ask("GET", "/api/health/checks/virtual-hosts")
        except (OSError, http.client.HTTPException, RuntimeError):
            return False
        return True
