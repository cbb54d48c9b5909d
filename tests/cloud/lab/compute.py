# SPDX-License-Identifier: Apache-2.0
"""A compute host: its machine, its libvirt, its SSH, its nova-compute.

libvirt listens at its usual place (``qemu:///system``) in each host's own file
system view.  QEMU emulates the processor (TCG): no KVM is needed.
"""

import uuid
from pathlib import Path

from . import configuration, nova, remote_shell
from .layout import Layout, Place, venv_program
from .machine import Machine
from .services import Service, Services

# What libvirt and Nova report; the guests' sum must stay below what is really there.
MEMORY_MB = 4096

_LIBVIRT_PORT = 16509
_LIBVIRTD = """\
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
auth_unix_rw = "none"
auth_unix_ro = "none"
host_uuid = "{host_uuid}"
"""
_QEMU = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
lock_manager = "nop"
migration_address = "{address}"
"""
_MEMINFO = """\
Node 0 MemTotal:       {kb} kB
Node 0 MemFree:        {kb} kB
"""


def boot(layout: Layout, host: Place) -> None:
    """Boots the host's machine and starts libvirt and SSH in it."""
    machine = Machine(layout, host)
    data = machine.data
    layout.nova_state.mkdir(parents=True, exist_ok=True)
    own_directories = {
        data / "libvirt-lib": Path("/var/lib/libvirt"),
        data / "libvirt-log": Path("/var/log/libvirt"),
        data / "libvirt-cache": Path("/var/cache/libvirt"),
        data / "libvirt-etc": Path("/etc/libvirt"),
        data / "nova": layout.nova_state,
    }
    for source, target in own_directories.items():
        source.mkdir(parents=True)
        target.mkdir(parents=True, exist_ok=True)
    (data / "nova" / "instances").mkdir()
    (data / "nova" / "locks").mkdir()
    libvirtd = _LIBVIRTD.format(host_uuid=uuid.uuid4())
    configuration.write(data / "libvirt-etc" / "libvirtd.conf", libvirtd)
    qemu = _QEMU.format(address=host.address)
    configuration.write(data / "libvirt-etc" / "qemu.conf", qemu)
    # libvirt reads a host's memory size here.
    meminfo = _MEMINFO.format(kb=MEMORY_MB * 1024)
    own_meminfo = configuration.write(data / "meminfo", meminfo)
    node = Path("/sys/devices/system/node/node0/meminfo")
    own_files = {own_meminfo: node, **remote_shell.client_binds(layout, host)}
    machine.boot({**own_directories, **own_files})
    remote_shell.start(layout, host)
    Services(layout).start(
        Service(
            f"libvirtd-{host.key}", host.key, ("libvirtd", "-l"), port=_LIBVIRT_PORT
        )
    )


def start(layout: Layout, host: Place) -> None:
    """Starts nova-compute; libvirt, the broker and the conductor must run."""
    sections = nova.common(layout)
    sections["DEFAULT"] |= {
        "compute_driver": "libvirt.LibvirtDriver",
        "host": host.service_host,
        "my_ip": host.address,
        "instances_path": layout.nova_state / "instances",
        "reserved_host_memory_mb": 256,
        "update_resources_interval": 20,
        # By memory a host takes a dozen guests, which mostly sleep.
        "cpu_allocation_ratio": 16,
    }
    sections["libvirt"] = {
        "virt_type": "qemu",
        "cpu_mode": "none",
        "tb_cache_size": 64,
        "images_type": "raw",
        "live_migration_scheme": "tcp",
        "live_migration_inbound_addr": host.address,
    }
    sections["workarounds"] = {
        "skip_cpu_compare_on_dest": "true",
        "skip_cpu_compare_at_startup": "true",
        "disable_deep_image_inspection": "true",
    }
    file = layout.config / f"nova-{host.key}.conf"
    for section in sections.values():
        if "helper_command" in section:
            section["helper_command"] = (
                f"{section['helper_command']} --config-file {file}"
            )
    configuration.write(file, configuration.render(sections))
    argv = (venv_program("nova-compute"), "--config-file", str(file))
    name = f"nova-compute-{host.key}"
    queue = f"nova/compute.{host.service_host}"
    Services(layout).start(Service(name, host.key, argv, queue=queue))
