# SPDX-License-Identifier: Apache-2.0
"""The order in which the cloud's parts come up: who needs whom.

The parts themselves are in their own modules; this one only knows the order.
"""

import time
from collections.abc import Callable
from functools import partial

from . import (
    broker,
    compute,
    database,
    identity,
    image,
    network_stub,
    nova,
    placement,
    remote_shell,
)
from .errors import ServiceFailed
from .layout import CONTROL, CONTROL_ADDRESS, HOSTS, PORTS, Layout, venv_program
from .machine import Machine
from .services import Service, Services
from .steps import Step

_REPORT_SECONDS = 120


def steps(layout: Layout) -> list[Step]:
    """Every step from an empty network to a cloud whose hosts can take guests."""
    services = Services(layout)
    cache_argv = ("memcached", "-u", "root", "-l", CONTROL_ADDRESS)
    cache = Service("memcached", "ctl", cache_argv, port=PORTS["cache"])
    stub_at = (CONTROL_ADDRESS, str(PORTS["network"]))
    stub_argv = (venv_program("python"), network_stub.__file__, *stub_at)
    stub = Service("network", "ctl", stub_argv, port=PORTS["network"])

    def step(name: str, work: Callable[..., object], *after: str) -> Step:
        return Step(name, partial(work, layout), after)

    control = [
        Step("control plane", partial(Machine(layout, CONTROL).boot, {})),
        Step("memcached", partial(services.start, cache), ("control plane",)),
        Step("network stub", partial(services.start, stub), ("control plane",)),
        step("mariadb", database.start, "control plane"),
        step("rabbitmq", broker.start, "control plane"),
        step("keystone's database", identity.prepare, "mariadb"),
        step("placement's database", placement.prepare, "mariadb"),
        step("glance's database", image.prepare, "mariadb"),
        step("nova's databases", nova.prepare, "mariadb"),
        step("keystone", identity.start, "keystone's database", "memcached"),
        step("placement", placement.start, "placement's database", "keystone"),
        step("glance", image.start, "glance's database", "keystone"),
    ]
    # Nova's services read the catalog once: not before it is filled.
    needs = ("nova's databases", "keystone", "rabbitmq")
    control += [
        step("nova-api", nova.start_api, *needs),
        step("nova-conductor", nova.start_conductor, *needs),
        step("nova-scheduler", nova.start_scheduler, *needs, "placement"),
    ]
    ssh = step("the hosts' ssh key", remote_shell.make_key)
    hosts = [ssh]
    for host in HOSTS:
        name = host.hostname
        boot = Step(
            f"libvirt on {name}", partial(compute.boot, layout, host), (ssh.name,)
        )
        after = (boot.name, "nova-conductor", "placement")
        start = partial(compute.start, layout, host)
        hosts += [boot, Step(f"nova-compute on {name}", start, after)]
    apis = ("nova-api", "glance", "network stub", "nova-scheduler")
    last = step(
        "hosts known to Nova and Placement",
        _wait_until_hosts_are_known,
        *(host.name for host in hosts),
        *apis,
    )
    return [*control, *hosts, last]


def _wait_until_hosts_are_known(layout: Layout) -> None:
    """nova-scheduler discovers them, and each reports what it has to Placement."""
    _wait_for_hosts(layout, "COUNT(*) FROM nova_api.host_mappings")
    column = "COUNT(DISTINCT resource_provider_id)"
    _wait_for_hosts(layout, f"{column} FROM placement.inventories")


def _wait_for_hosts(layout: Layout, count: str) -> None:
    services = Services(layout)
    deadline = time.monotonic() + _REPORT_SECONDS
    while int(database.query(layout, f"SELECT {count}")[0][0]) < len(HOSTS):
        for name in services.names():
            if not services.is_alive(name):
                raise ServiceFailed(name, "ended", services.log(name))
        if time.monotonic() > deadline:
            name = f"nova-compute-{HOSTS[0].key}"
            what = f"did not report itself within {_REPORT_SECONDS} s"
            raise ServiceFailed(name, what, services.log(name))
        time.sleep(0.2)
