# SPDX-License-Identifier: Apache-2.0
"""MariaDB for OpenStack's services and for ours (SQLite is not enough for Nova)."""

from .layout import CONTROL, CONTROL_ADDRESS, PASSWORD, PORTS, Layout
from .machine import Machine
from .services import Service, Services

# Database -> the one user that may use it.
DATABASES = {
    "keystone": "keystone",
    "glance": "glance",
    "placement": "placement",
    "nova_api": "nova",
    "nova": "nova",
    "nova_cell0": "nova",
    "membuddies": "membuddies",
}

# Below the machine's own /run: a socket's path must stay short.
_SOCKET = "/run/mariadb.sock"


def start(layout: Layout) -> None:
    """Installs an empty database server, starts it, makes databases and users."""
    machine = Machine(layout, CONTROL)
    data = machine.data / "mariadb"
    machine.run(
        [
            "mariadb-install-db",
            *("--no-defaults", "--user=root", f"--datadir={data}"),
            *("--auth-root-authentication-method=normal", "--skip-test-db"),
        ]
    )
    scratch = machine.data / "mariadb-tmp"
    scratch.mkdir()
    options = {
        "user": "root",
        "datadir": data,
        # Of its own: a server that starts deletes all temporary tables there, and
        # one whose temporary table vanishes crashes.
        "tmpdir": scratch,
        "socket": _SOCKET,
        "pid-file": "/run/mariadb.pid",
        "bind-address": CONTROL_ADDRESS,
        "port": PORTS["database"],
        "max-connections": 600,
        "innodb-flush-log-at-trx-commit": 0,
        "innodb-buffer-pool-size": "128M",
        "max-allowed-packet": "64M",
        "character-set-server": "utf8mb4",
    }
    settings = [f"--{name}={value}" for name, value in options.items()]
    argv = ["mariadbd", "--no-defaults", "--skip-name-resolve", *settings]
    Services(layout).start(
        Service("mariadb", "ctl", tuple(argv), port=PORTS["database"])
    )
    statements = []
    for database, user in DATABASES.items():
        statements += [
            f"CREATE DATABASE {database} CHARACTER SET utf8mb4",
            f"CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY '{PASSWORD}'",
            f"GRANT ALL ON {database}.* TO '{user}'@'%'",
        ]
    query(layout, "; ".join(statements))


def query(layout: Layout, sql: str) -> list[list[str]]:
    """The rows that a statement selects, each value as text."""
    command = ["mariadb", "--no-defaults", "--socket", _SOCKET, "--batch"]
    done = Machine(layout, CONTROL).run(
        [*command, "--skip-column-names", "--execute", sql]
    )
    return [line.split("\t") for line in done.stdout.splitlines()]
