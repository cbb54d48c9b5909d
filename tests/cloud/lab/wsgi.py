# SPDX-License-Identifier: Apache-2.0
"""OpenStack's web APIs, each a WSGI application under uWSGI."""

import http.client
import time
from collections.abc import Mapping

from . import namespaces
from .errors import ServiceFailed
from .layout import CONTROL_ADDRESS, PORTS, Layout, venv_program
from .services import Service, Services

_TIMEOUT_SECONDS = 120


def start(
    layout: Layout, name: str, module: str, port_name: str, env: Mapping[str, str]
) -> None:
    """Starts ``module``'s application and waits until it answers.

    :raises ServiceFailed: the application could not be loaded, or was not in time.
    """
    port = PORTS[port_name]
    argv = [
        venv_program("uwsgi"),
        *("--http-socket", f"{CONTROL_ADDRESS}:{port}"),
        *("--module", f"{module}:application"),
        *("--master", "--processes", "1", "--threads", "4", "--enable-threads"),
        *("--lazy-apps", "--need-app", "--die-on-term", "--buffer-size", "65535"),
        # Nova uploads in chunks of 1 MiB, which with their sizes are over the limit.
        *("--chunked-input-limit", str(2**22)),
        # uWSGI's HTTP socket closes idle connections; clients that keep them alive
        # would meet a reset.
        *("--add-header", "Connection: close"),
    ]
    services = Services(layout)
    services.start(Service(name, "ctl", tuple(argv), env, port))
    # uWSGI listens before it has loaded the application.
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while not _answers(layout, port):
        if not services.is_alive(name):
            raise ServiceFailed(name, "ended", services.log(name))
        if time.monotonic() > deadline:
            raise ServiceFailed(name, "does not answer", services.log(name))
        time.sleep(0.2)


def _answers(layout: Layout, port: int) -> bool:
    with namespaces.entered(layout):
        connection = http.client.HTTPConnection(CONTROL_ADDRESS, port, timeout=60)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
