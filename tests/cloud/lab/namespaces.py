# SPDX-License-Identifier: Apache-2.0
"""The lab's network: one namespace a machine, a bridge in the control plane's.

No namespace has a way out: traffic goes from machine to machine only.  The
process that tests the cloud reaches its services by :func:`entered`.
"""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .errors import LabError
from .layout import CONTROL, HOSTS, Layout, Place

_NAMED = Path("/run/netns")
_BRIDGE = "br0"
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise LabError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _file(layout: Layout, place: Place) -> Path:
    return _NAMED / layout.namespace(place)


def exist(layout: Layout) -> bool:
    """Whether any namespace of this lab is there."""
    return any(_file(layout, place).exists() for place in (CONTROL, *HOSTS))


def create(layout: Layout) -> None:
    """Makes all namespaces, their addresses, and the wires to the bridge."""
    control = layout.namespace(CONTROL)
    _ip("netns", "add", control)
    _ip("-n", control, "link", "set", "lo", "up")
    _ip("-n", control, "link", "add", _BRIDGE, "type", "bridge")
    _ip("-n", control, "addr", "add", f"{CONTROL.address}/24", "dev", _BRIDGE)
    _ip("-n", control, "link", "set", _BRIDGE, "up")
    for host in HOSTS:
        namespace = layout.namespace(host)
        _ip("netns", "add", namespace)
        _ip("-n", namespace, "link", "set", "lo", "up")
        wire = ["link", "add", host.key, "type", "veth", "peer", "name", "eth0"]
        _ip("-n", control, *wire, "netns", namespace)
        _ip("-n", control, "link", "set", host.key, "master", _BRIDGE, "up")
        _ip("-n", namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
        _ip("-n", namespace, "link", "set", "eth0", "up")


def delete(layout: Layout) -> None:
    """Deletes the namespaces that are there; their processes must be gone."""
    for place in (*HOSTS, CONTROL):
        if _file(layout, place).exists():
            _ip("netns", "del", layout.namespace(place))
    if _NAMED.exists() and not any(_NAMED.iterdir()):
        # ip mounted the directory on itself for the first namespace of the machine.
        subprocess.run(["umount", str(_NAMED)], capture_output=True)


def pids(layout: Layout) -> list[int]:
    """Every process of this lab, found by its network namespace."""
    return [
        int(pid)
        for place in (CONTROL, *HOSTS)
        if _file(layout, place).exists()
        for pid in _ip("netns", "pids", layout.namespace(place)).split()
    ]


def pids_of(layout: Layout, place: Place) -> list[int]:
    """Every process of one machine, numbered as outside of it."""
    return [int(pid) for pid in _ip("netns", "pids", layout.namespace(place)).split()]


@contextlib.contextmanager
def entered(layout: Layout, place: Place = CONTROL) -> Iterator[None]:
    """Moves the calling thread, and threads that it starts, into a namespace.

    Only sockets made meanwhile belong to it; files are seen as before.
    """
    with open("/proc/thread-self/ns/net") as home, open(_file(layout, place)) as there:
        _set_namespace(there.fileno())
        try:
            yield
        finally:
            _set_namespace(home.fileno())


def _set_namespace(descriptor: int) -> None:
    # os.setns came with Python 3.12.
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
