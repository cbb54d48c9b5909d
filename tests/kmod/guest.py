# SPDX-License-Identifier: Apache-2.0
"""A real guest under a real libvirt, and what tests let it do.

Tests speak to it as our own agent does: by its QEMU guest agent, over libvirt's
read-write connection.
"""

import dataclasses
import pathlib
import threading
import time

from membuddies_agent import procfs
from membuddies_agent.errors import NoFingerprint
from membuddies_agent.guest_agent import GuestAgent
from membuddies_agent.libvirt_guest_agent import guest_agent_of
from membuddies_agent.procfs import Process
from tests.functional.agent.libvirt_daemon import Daemon, domain_xml

MEMORY_MB = 160
CHANNEL = (
    '<channel type="unix"><target type="virtio" name="org.qemu.guest_agent.0"/>'
    "</channel>"
)

_BOOT_SECONDS = 240
_COMMAND_SECONDS = 120
_OUTPUT = "/tmp/output"
_OUTPUT_BYTES = 64 << 20

_BOOT = (
    "<kernel>{kernel}</kernel><initrd>{initrd}</initrd><cmdline>console=ttyS0 quiet "
    "no_timer_check panic=1 rootfstype=ramfs secretmem.enable=1 "
    "memhp_default_state=offline {words}</cmdline>"
)
# Room for memory that is plugged in later.
_ROOM = '<maxMemory slots="1" unit="MiB">1024</maxMemory>'
_CELL = '<numa><cell id="0" cpus="0" memory="{memory_mb}" unit="MiB"/></numa>'
_NO_BALLOON = '<memballoon model="none"/>'


@dataclasses.dataclass(frozen=True)
class Guest:
    """One guest that is running."""

    daemon: Daemon
    uuid: str

    @property
    def write_uri(self) -> str:
        """For a read-write connection."""
        return f"qemu+unix:///system?socket={self.daemon.directory}/libvirt-sock"

    @property
    def process(self) -> Process:
        return procfs.qemu_processes()[self.uuid]

    def status(self, command: str) -> int | None:
        """Run a shell command; its exit status."""
        with guest_agent_of(self.write_uri, self.uuid) as carry:
            return GuestAgent(carry, threading.Event()).run(
                *(
                    "/bin/busybox",
                    "sh",
                    "-c",
                    f"export PATH=/applets:/usr/bin:/usr/sbin; {command}",
                ),
                timeout_seconds=_COMMAND_SECONDS,
            )

    def output(self, command: str) -> bytes:
        """Run a shell command that must succeed; what it prints."""
        status = self.status(f"({command}) > {_OUTPUT} 2>&1")
        output = self.content(_OUTPUT)
        assert status == 0, f"{command}: {status}: {output.decode(errors='replace')}"
        return output

    def content(self, path: str) -> bytes:
        with guest_agent_of(self.write_uri, self.uuid) as carry:
            return GuestAgent(carry, threading.Event()).read(path, _OUTPUT_BYTES)

    def await_boot(self) -> None:
        """Return when its guest agent answers."""
        deadline = time.monotonic() + _BOOT_SECONDS
        while True:
            try:
                with guest_agent_of(self.write_uri, self.uuid) as carry:
                    carry('{"execute": "guest-ping"}')
            except NoFingerprint:
                assert time.monotonic() < deadline, self.daemon.log()
                time.sleep(0.2)
            else:
                return


def boot(
    daemon: Daemon,
    uuid: str,
    kernel: pathlib.Path,
    initrd: pathlib.Path,
    words: str = "",
    memory_mb: int = MEMORY_MB,
) -> Guest:
    """Start a guest, without waiting for it.

    :param words: for the kernel's command line
    """
    xml = domain_xml(
        uuid,
        memory_mb=memory_mb,
        backing=_ROOM,
        os_options=_BOOT.format(kernel=kernel, initrd=initrd, words=words),
        more=CHANNEL,
    )
    xml = xml.replace(_NO_BALLOON, '<memballoon model="virtio"/>')
    cpu = f"<cpu>{_CELL.format(memory_mb=memory_mb)}</cpu>"
    daemon.create(xml.replace("<features>", f"{cpu}<features>"))
    return Guest(daemon, uuid)
