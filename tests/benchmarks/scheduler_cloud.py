# SPDX-License-Identifier: Apache-2.0
"""A large cloud as nova-scheduler sees it; :mod:`large_board` is its scoreboard.

Nova's own HostManager, HostStates, filters and weighers; only what it would read
from its databases is put there by hand.
"""

import collections
import datetime
import functools
import random
import unittest.mock
import uuid
from collections.abc import Sequence
from typing import Any

import nova.conf
from nova import objects
from nova.scheduler import host_manager

from membuddies_nova.cluster import TRUST_GROUP_KEY, Guest
from membuddies_nova.conf import bus as bus_options
from membuddies_nova.conf import scheduler as scheduler_options
from tests.unit.scheduler import requests

HOSTS = 1_000
GUESTS = 10_000
IMAGES = 100
PROJECTS = 200
IMAGES_OF_A_PROJECT = 8
COMMON = HOSTS // 2
"""Guests of one image and project, each on a host of its own."""
GROUP = "all"
"""The trust group of all: no filter of ours keeps them apart."""
FLAVORS = {"m1.small": 2048, "m1.medium": 4096, "m1.large": 8192}
RELEASES = [(distro, release) for distro in ("debian", "ubuntu") for release in "123"]

OURS = "membuddies_nova.scheduler.weigher.SharingWeigher"
OUR_FILTERS = {
    "KsmIsolationFilter": "membuddies_nova.scheduler.isolation.KsmIsolationFilter",
    "MemoryPressureFilter": "membuddies_nova.scheduler.pressure.MemoryPressureFilter",
}


def name_of(kind: str, number: int) -> str:
    """A uuid that tells nothing but is the same every time."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}"))


@functools.cache
def guests() -> tuple[Guest, ...]:
    """All guests: each project has a few images, all over the cloud."""
    chance = random.Random(11)
    flavors = list(FLAVORS)
    found = []
    for number in range(GUESTS):
        project = 0 if number < COMMON else number % PROJECTS
        image = (project * 7 + chance.randrange(IMAGES_OF_A_PROJECT) * 13) % IMAGES
        host = chance.randrange(HOSTS)
        if number < COMMON:
            image, host = 0, 2 * number
        distro, release = RELEASES[image % len(RELEASES)]
        flavor = chance.choice(flavors)
        found.append(
            Guest(
                uuid=name_of("guest", number),
                name=f"guest-{number}",
                memory_mb=FLAVORS[flavor],
                host=host_name(host),
                project=name_of("project", project).replace("-", ""),
                image=name_of("image", image),
                os_distro=distro,
                os_version=release,
                flavor=flavor,
                trust_group=GROUP,
            )
        )
    return tuple(sorted(found, key=lambda guest: guest.uuid))


def common_guest() -> Guest:
    """One of those whose kin are on half of the hosts."""
    project = name_of("project", 0).replace("-", "")
    return next(
        guest
        for guest in guests()
        if (guest.project, guest.image) == (project, name_of("image", 0))
    )


def host_name(number: int) -> str:
    return f"compute-{number:04d}.example.org"


def configure(weighers: Sequence[str], filters: dict[str, str]) -> None:
    """Set nova.conf's slots: ``weighers`` and ``filters`` beside Nova's own."""
    conf = nova.conf.CONF
    conf([], project="nova", default_config_files=[])
    bus_options.register(conf)
    scheduler_options.register(conf)
    # The services said that they live when the benchmark began.
    conf.set_override("service_down_time", 86400)
    group = conf.filter_scheduler
    conf.clear_override("enabled_filters", group="filter_scheduler")
    enabled = [*group.enabled_filters, *filters]
    for name, value in (
        ("weight_classes", ["nova.scheduler.weights.all_weighers", *weighers]),
        (
            "available_filters",
            ["nova.scheduler.filters.all_filters", *filters.values()],
        ),
        ("enabled_filters", enabled),
    ):
        conf.set_override(name, value, group="filter_scheduler")


def manager(weighers: Sequence[str], filters: dict[str, str]) -> Any:
    """Nova's HostManager with these beside its default weighers and filters."""
    configure(weighers, filters)
    with unittest.mock.patch.multiple(
        host_manager.HostManager,
        refresh_cells_caches=unittest.mock.DEFAULT,
        _init_aggregates=unittest.mock.DEFAULT,
        _init_instance_info=unittest.mock.DEFAULT,
    ):
        return host_manager.HostManager()


def states() -> list[Any]:
    """Nova's HostState of every host, with the instances that it counts there."""
    by_host = collections.defaultdict(list)
    for guest in guests():
        by_host[guest.host].append(guest)
    now = datetime.datetime.now(datetime.UTC)
    found = []
    for number in range(HOSTS):
        name = host_name(number)
        state = requests.state(name, free_ram_mb=2**18)
        state.cell_uuid = name_of("cell", 0)
        state.total_usable_ram_mb = 2**18
        state.free_ram_mb -= sum(guest.memory_mb for guest in by_host[name])
        state.vcpus_total, state.vcpus_used = 128, 2 * len(by_host[name])
        state.free_disk_mb = state.total_usable_disk_gb = 2**20
        state.ram_allocation_ratio = state.disk_allocation_ratio = 1.0
        state.num_instances = len(by_host[name])
        state.hypervisor_type = "QEMU"
        state.supported_instances = [("x86_64", "kvm", "hvm")]
        state.uuid = name_of("node", number)
        state.service = {
            "disabled": False,
            "last_seen_up": now,
            "created_at": now,
            "updated_at": now,
            "host": name,
            "topic": "compute",
            "forced_down": False,
        }
        state.instances = {
            guest.uuid: objects.Instance(uuid=guest.uuid) for guest in by_host[name]
        }
        found.append(state)
    return found


def request(like: Guest) -> Any:
    """A request for another guest like one."""
    spec = requests.spec(
        image=like.image,
        distro=like.os_distro,
        project=like.project,
        memory_mb=like.memory_mb,
        flavor=like.flavor,
        extra_specs={TRUST_GROUP_KEY: GROUP},
    )
    spec.instance_uuid = str(uuid.uuid4())
    spec.flavor.vcpus = 2
    spec.scheduler_hints = {}
    return spec


def select(manager: Any, hosts: Sequence[Any], spec: Any) -> list[Any]:
    """What Nova does with the hosts that Placement allows: filter, then weigh."""
    filtered = manager.get_filtered_hosts(hosts, spec)
    weighed: list[Any] = manager.get_weighed_hosts(filtered, spec)
    return weighed
