# SPDX-License-Identifier: Apache-2.0
"""A real libvirtd of our own, in mount and network namespaces.

Its sockets, state and logs lie in a directory of the test; its guests are QEMU
processes of this pid namespace, as on a compute node.
"""

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time
import types
import uuid as uuids
from collections.abc import Iterator, Mapping

from membuddies_agent import procfs

NOVA = "http://openstack.org/xmlns/libvirt/nova/1.1"

_REAPER = pathlib.Path(__file__).with_name("reaper.py")
_LIBVIRTD_CONF = """\
unix_sock_dir = "{directory}"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "{uuid}"
"""
_QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
hugetlbfs_mount = "{directory}/hugepages"
stdio_handler = "file"
lock_manager = "nop"
"""
# At the reset vector (F000:FFF0) a jump to the start of the last 64 KiB, where:
# each 64 KiB from 0x10000 to 0x90000 is filled with numbers, and the processor halts
# with interrupts off.
_STILL_ROM = bytes.fromhex(
    "fa fc bb 00 10"  # cli; cld; mov bx, 0x1000
    "8e c3 31 ff b9 00 40"  # next: mov es, bx; xor di, di; mov cx, 0x4000
    "89 c8 ab 89 d8 ab"  # fill: mov ax, cx; stosw; mov ax, bx; stosw
    "e2 f8"  # loop fill
    "81 c3 00 10 81 fb 00 90"  # add bx, 0x1000; cmp bx, 0x9000
    "75 e7"  # jne next
    "f4 eb fd"  # halt: hlt; jmp halt
).ljust(0xFFF0, b"\0") + bytes.fromhex("ea 00 00 00 f0").ljust(16, b"\0")
_START = """\
set -e
mount --make-rprivate /
hostname "host-$$"
ip link set lo up
mkdir -p "$1/hugepages"
mount -t hugetlbfs none "$1/hugepages"
for name in /run /etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt; do
    mkdir -p "$1$name"
    mount --bind "$1$name" "$name"
done
umount -R /sys/fs/cgroup 2>/dev/null || true
exec /usr/sbin/libvirtd --pid-file "$1/pid"
"""


@dataclasses.dataclass
class Daemon:
    """A libvirtd that can be stopped and started again."""

    directory: pathlib.Path
    popen: subprocess.Popen | None = None

    @property
    def uri(self) -> str:
        """For a read-only connection."""
        return f"qemu+unix:///system?socket={self.directory}/libvirt-sock-ro"

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self.popen = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "TERM", sys.executable, _REAPER),
                    *("unshare", "--mount", "--net", "--uts"),
                    *("bash", "-c", _START, "bash", str(self.directory)),
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while self.virsh("uri", check=False).returncode:
            assert self.popen.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def stop(self) -> None:
        """End the daemon; its guests run on."""
        self.popen.terminate()
        self.popen.wait(30)

    def log(self) -> str:
        return (self.directory / "log").read_text()

    def virsh(self, *arguments: str, check: bool = True, **options: object):
        socket = f"qemu+unix:///system?socket={self.directory}/libvirt-sock"
        return subprocess.run(
            ["virsh", "--quiet", "--connect", socket, *arguments],
            check=check,
            capture_output=True,
            text=True,
            **options,
        )

    def destroy_all(self) -> None:
        """End every guest."""
        for uuid in self.virsh("list", "--uuid").stdout.split():
            self.virsh("destroy", uuid)

    def still_guest(self, uuid: str) -> str:
        """A small guest that writes half a MB of its memory once, and halts.

        Firmware goes on counting time in memory when it has found nothing to boot.
        """
        rom = self.directory / "still.rom"
        rom.write_bytes(_STILL_ROM)
        return domain_xml(uuid, os_options=f'<loader type="rom">{rom}</loader>')

    def create(self, xml: str, *options: str) -> None:
        """Start a transient domain."""
        file = self.directory / f"{uuids.uuid4()}.xml"
        file.write_text(xml)
        self.virsh("create", str(file), *options)


@contextlib.contextmanager
def daemon(directory: pathlib.Path) -> Iterator[Daemon]:
    """A running libvirtd; it and its guests are gone at the end."""
    conf = directory / "etc/libvirt"
    conf.mkdir(parents=True)
    (conf / "libvirtd.conf").write_text(
        _LIBVIRTD_CONF.format(directory=directory, uuid=uuids.uuid4())
    )
    (conf / "qemu.conf").write_text(_QEMU_CONF.format(directory=directory))
    one = Daemon(directory)
    one.start()
    try:
        yield one
    finally:
        for uuid in one.virsh("list", "--uuid", check=False).stdout.split():
            process = procfs.qemu_processes().get(uuid)
            if process is not None:
                os.kill(process.pid, signal.SIGKILL)
        one.stop()


def domain_xml(
    uuid: str,
    *,
    nova: bool = True,
    extra_specs: Mapping[str, str] = types.MappingProxyType({}),
    memory_mb: int = 64,
    backing: str = "",
    os_options: str = "",
    more: str = "",
) -> str:
    """A small guest that finds nothing to boot.

    :param extra_specs: of its flavor
    """
    specs = "".join(
        f'<nova:extraSpec name="{name}">{value}</nova:extraSpec>'
        for name, value in extra_specs.items()
    )
    metadata = (
        f'<metadata><nova:instance xmlns:nova="{NOVA}"><nova:flavor name="m1">'
        f"<nova:extraSpecs>{specs}</nova:extraSpecs></nova:flavor></nova:instance>"
        f"</metadata>"
        if nova
        else ""
    )
    return f"""\
<domain type="qemu">
  <name>instance-{uuid[-8:]}</name>
  <uuid>{uuid}</uuid>
  {metadata}
  <memory unit="MiB">{memory_mb}</memory>
  {backing}
  <vcpu>1</vcpu>
  <os><type arch="x86_64" machine="pc">hvm</type>{os_options}</os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <memballoon model="none"/>
    {more}
  </devices>
</domain>
"""
