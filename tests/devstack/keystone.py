# SPDX-License-Identifier: Apache-2.0
"""A real Keystone for the plugin's tests, where DevStack expects it: /identity.

SQLite, Fernet tokens, one process. It ends with the tests.
"""

import os
import pathlib
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Self

from tests.functional.services import Process, free_port

PASSWORD = "devstack-admin"
_SERVER = """\
import os
import socketserver
from wsgiref import simple_server

from keystone.wsgi.api import application

class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True

def identity(environ, start_response):
    path = environ["PATH_INFO"].removeprefix("/identity")
    environ.update(SCRIPT_NAME="/identity", PATH_INFO=path)
    return application(environ, start_response)

port = int(os.environ["PORT"])
with simple_server.make_server("127.0.0.1", port, identity, Server) as server:
    server.serve_forever()
"""


class Keystone:
    """A Keystone that is bootstrapped with the user ``admin``.

    :ivar host: address and port, for DevStack's ``KEYSTONE_SERVICE_HOST``
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory / "keystone"
        self._directory.mkdir()
        self._port = free_port()
        self.host = f"127.0.0.1:{self._port}"
        (self._directory / "keystone.conf").write_text(
            f"""\
[DEFAULT]
use_stderr = true
[database]
connection = sqlite:///{self._directory}/keystone.sqlite
[identity]
password_hash_rounds = 4
[fernet_tokens]
key_repository = {self._directory}/fernet
[fernet_receipts]
key_repository = {self._directory}/fernet
[credential]
key_repository = {self._directory}/credential
"""
        )
        for kind in ("fernet", "credential"):
            (self._directory / kind).mkdir(mode=0o700)
        owner = ("--keystone-user", "root", "--keystone-group", "root")
        self._manage("fernet_setup", *owner)
        self._manage("db_sync")
        url = ("--bootstrap-public-url", f"http://{self.host}/identity/v3")
        region = ("--bootstrap-region-id", "RegionOne")
        self._manage("bootstrap", "--bootstrap-password", PASSWORD, *region, *url)

    def __enter__(self) -> Self:
        environment = {
            **os.environ,
            "OS_KEYSTONE_CONFIG_DIR": str(self._directory),
            "PORT": str(self._port),
        }
        self._process = Process(
            [sys.executable, "-W", "ignore", "-c", _SERVER],
            self._directory / "keystone.log",
            environment,
        )
        self._process.wait_until(self._answers)
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.end()

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://{self.host}/identity/v3", timeout=10)
        except (urllib.error.URLError, OSError):
            return False
        return True

    def _manage(self, *arguments: str) -> None:
        program = pathlib.Path(sys.executable).with_name("keystone-manage")
        configuration = self._directory / "keystone.conf"
        subprocess.run(
            [program, "--config-file", configuration, *arguments],
            check=True,
            capture_output=True,
        )
