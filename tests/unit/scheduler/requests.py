# SPDX-License-Identifier: Apache-2.0
"""Nova's own objects, as the scheduler meets them."""

import contextlib
import itertools
import sys
import threading
import uuid

from nova import objects
from nova.scheduler import host_manager

# Nova's services do so before anything else: it fills nova.objects.
objects.register_all()

IMAGE = "6f1a4c8e-9d0f-4a57-8d0a-0c8a3f1d2b4e"


def instance_uuid(number):
    return str(uuid.UUID(int=number))


def spec(
    *,
    number=99,
    image=IMAGE,
    distro=None,
    project="p1",
    memory_mb=1000,
    flavor="m1.small",
    extra_specs=None,
):
    """A RequestSpec with the fields that nova-conductor sets."""
    properties = {} if distro is None else {"os_distro": distro}
    meta = objects.ImageMeta(properties=objects.ImageMetaProps(**properties))
    if image is not None:
        meta.id = image
    return objects.RequestSpec(
        instance_uuid=instance_uuid(number),
        project_id=project,
        image=meta,
        flavor=objects.Flavor(
            name=flavor,
            memory_mb=memory_mb,
            vcpus=1,
            root_gb=0,
            ephemeral_gb=0,
            swap=0,
            extra_specs=extra_specs or {},
        ),
        num_instances=1,
        instance_group=None,
        pci_requests=None,
        numa_topology=None,
        requested_resources=[],
        ignore_hosts=None,
        force_hosts=None,
        force_nodes=None,
        requested_destination=None,
    )


def state(host, *, instances=(), metadata=(), free_ram_mb=4096):
    """A HostState; ``metadata`` of each of its aggregates, in order."""
    value = host_manager.HostState(host, host, None)
    value.free_ram_mb = free_ram_mb
    value.total_usable_ram_mb = 8192
    value.vcpus_total = 16
    value.cpu_allocation_ratio = 4.0
    value.hypervisor_version = 7002000
    value.instances = {
        instance_uuid(number): objects.Instance(uuid=instance_uuid(number))
        for number in instances
    }
    value.num_instances = len(instances)
    value.aggregates = [
        objects.Aggregate(name=f"aggregate{index}", metadata=pairs)
        for index, pairs in enumerate(metadata)
    ]
    return value


@contextlib.contextmanager
def guests_coming_and_going(host, uuids):
    """As Nova's announcements have it, in another thread: half of them are there.

    :param host: has the first half now
    """
    half = len(uuids) // 2
    stub = objects.Instance(uuid=uuids[0])
    changed, done = threading.Event(), threading.Event()

    def change():
        for number in itertools.cycle(range(len(uuids))):
            host.instances[uuids[number - half]] = stub
            host.instances.pop(uuids[number])
            changed.set()
            if done.wait(1e-4):
                return

    thread = threading.Thread(target=change)
    interval_seconds = sys.getswitchinterval()
    # So that the threads take turns in the midst of things.
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        assert changed.wait(60)
        yield
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval_seconds)
