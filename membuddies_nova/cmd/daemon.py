# SPDX-License-Identifier: Apache-2.0
"""What all services have in common as processes.

Configuration, logging, the Guru Meditation Report (SIGUSR2), systemd's READY,
SIGHUP to read the mutable options again, SIGTERM or SIGINT to end, in time.

A service runs in this one process. oslo.service's launchers would fork a worker
and replace it at SIGHUP, which costs an agent all that it knows of its guests.
"""

import importlib.metadata
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from oslo_config import cfg
from oslo_log import log as logging
from oslo_reports import guru_meditation_report
from oslo_reports import opts as report_opts
from oslo_service import opts as service_opts
from oslo_service import systemd

from membuddies_nova import exceptions

LOG = logging.getLogger(__name__)

PROJECT = "membuddies"
_FAILED = 1
_ENDS = (signal.SIGTERM, signal.SIGINT)


class Service(Protocol):
    """What runs: the shape of oslo.service's ServiceBase."""

    def start(self) -> None:
        """Begin to work and return."""

    def stop(self) -> None:
        """Begin to end."""

    def wait(self) -> None:
        """Return when it has ended."""

    def reset(self) -> None:
        """Take note of options that changed."""


class _Version:
    """Name and version as the Guru Meditation Report asks for them."""

    def vendor_string(self) -> str:
        return PROJECT

    def product_string(self) -> str:
        return "membuddies-nova"

    def version_string_with_package(self) -> str:
        return importlib.metadata.version("membuddies-nova")


def run(
    binary: str, build: Callable[[cfg.ConfigOpts], Service], argv: Sequence[str]
) -> int:
    """Run a service until it is told to end.

    :param binary: the name of the program
    :param build: makes the service from its configuration, without threads or
        connections
    :param argv: the program's arguments
    :returns: the process's exit status
    """
    # The global one, because the report and oslo.messaging's metrics look there.
    conf = cfg.CONF
    try:
        _configure(conf, binary, argv)
        service = build(conf)
    except (cfg.Error, logging.LogConfigError, exceptions.MembuddiesError) as error:
        print(f"{binary}: {' '.join(str(error).split())}", file=sys.stderr)
        return _FAILED

    signals = _signals()
    service.start()
    systemd.notify_once()
    LOG.info("%s %s runs", binary, _Version().version_string_with_package())
    while (number := signals.recv(1)[0]) not in _ENDS:
        if number == signal.SIGHUP:
            _reload(conf, service)
    LOG.info("%s ends", binary)
    _limit_the_end(conf.graceful_shutdown_timeout)
    service.stop()
    service.wait()
    return 0


def _configure(conf: cfg.ConfigOpts, binary: str, argv: Sequence[str]) -> None:
    logging.register_options(conf)
    service_opts.register_service_opts(conf)
    report_opts.set_defaults(conf)
    conf(
        list(argv),
        project=PROJECT,
        prog=binary,
        version=_Version().version_string_with_package(),
    )
    logging.setup(conf, PROJECT)
    guru_meditation_report.TextGuruMeditation.setup_autorun(
        _Version(), service_name=binary, conf=conf
    )


def _signals() -> socket.socket:
    """From now on the numbers of the signals that arrive, a byte each.

    Written where the kernel delivers them. A handler in Python would run only once
    the main thread comes back to Python: never, if it had just begun to wait for
    what the handler does, or if the kernel chose another thread.
    """
    heard, told = socket.socketpair()
    told.setblocking(False)
    # Kept open by the descriptor, which nobody else knows.
    signal.set_wakeup_fd(told.detach())
    for number in (*_ENDS, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)
    return heard


def _reload(conf: cfg.ConfigOpts, service: Service) -> None:
    """Read the configuration again; a file that is wrong changes nothing."""
    try:
        conf.mutate_config_files()
        service.reset()
    except (cfg.Error, exceptions.MembuddiesError) as error:
        LOG.error("The configuration was not read again: %s", error)
    else:
        LOG.info("The configuration was read again")


def _limit_the_end(timeout_seconds: int) -> None:
    """See that the process ends, even if a thread of it hangs."""
    if timeout_seconds <= 0:
        return

    def give_up() -> None:
        LOG.error("Not ended within %d seconds: giving up", timeout_seconds)
        os._exit(_FAILED)

    timer = threading.Timer(timeout_seconds, give_up)
    timer.daemon = True
    timer.start()
