# SPDX-License-Identifier: Apache-2.0
"""Guests: booted, waited for, live-migrated, deleted, as a tenant would and Nova says.

Everything here talks to Nova and Glance, so call it inside the lab
(:meth:`.cloud.Cloud.inside`).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openstack
from openstack.exceptions import NotFoundException

from . import images
from .errors import LabError
from .images import BlankImage, GuestImage, SnapshotImage

Image = GuestImage | BlankImage | SnapshotImage

# What every guest has, unless said otherwise: enough for the boot, when the root
# file system is in memory twice.
MEMORY_MB = 320

_READY = "guest ready"
_MIGRATION_ENDS = ("completed", "failed", "error", "cancelled")


@dataclass(frozen=True)
class Guest:
    """A guest as the lab booted it; where it is now, only Nova knows."""

    id: str
    name: str
    image: Image | None


@dataclass(frozen=True)
class Migration:
    """How a live migration ended, as Nova's migration record says."""

    id: str
    status: str
    source: str
    destination: str
    seconds: float


class Guests:
    """The guests of one tenant.

    :param connection: of an administrator in the tenant's project
        (``cloud.connect("red")``): naming a host needs one.
    """

    def __init__(self, connection: openstack.connection.Connection) -> None:
        self._connection = connection
        self._flavor_ids: dict[int, str] = {}
        self._image_ids: dict[str, str] = {}

    def flavor_id(self, memory_mb: int = MEMORY_MB) -> str:
        """The id of the flavor of that size, made when it is missing."""
        if memory_mb not in self._flavor_ids:
            compute = self._connection.compute
            name = f"m1.role{memory_mb}"
            flavor = compute.find_flavor(name) or compute.create_flavor(
                name=name, ram=memory_mb, vcpus=1, disk=0
            )
            self._flavor_ids[memory_mb] = flavor.id
        return self._flavor_ids[memory_mb]

    def image_id(self, image: Image) -> str:
        """The id of the image in Glance, built and uploaded when it is missing."""
        if image.name not in self._image_ids:
            found = self._connection.image.find_image(image.name)
            self._image_ids[image.name] = (found or self._make_image(image)).id
        return self._image_ids[image.name]

    def _make_image(self, image: Image) -> Any:
        if isinstance(image, SnapshotImage):
            raise LabError(f"there is no image {image.name}")
        if isinstance(image, BlankImage):
            return self._upload(
                image.name,
                images.disk(),
                "raw",
                os_distro="debian",
                os_version=image.name,
                os_shutdown_timeout="1",
            )
        kernel = images.kernel()
        kernel_image = self._ensure_file(kernel.name, kernel, "aki")
        ramdisk = images.ramdisk(image)
        ramdisk_image = self._ensure_file(ramdisk.stem, ramdisk, "ari")
        return self._upload(
            image.name,
            images.disk(),
            "raw",
            kernel_id=kernel_image.id,
            ramdisk_id=ramdisk_image.id,
            os_command_line=image.command_line,
            os_distro="debian",
            os_version="12",
            # Nobody in the guest hears the power button: Nova need not wait.
            os_shutdown_timeout="1",
        )

    def start(
        self,
        name: str,
        image: Image | None,
        host: str | None = None,
        memory_mb: int = MEMORY_MB,
        **more: Any,
    ) -> Guest:
        """Asks Nova for a guest and waits for nothing.

        :param image: None if ``more`` tells what to boot from.
        :param host: Nova's name of the host; None lets the scheduler choose.
        :param more: further arguments of openstacksdk's ``create_server``.
        """
        if host is not None:
            more["host"] = host
        if image is not None:
            more["image_id"] = self.image_id(image)
        server = self._connection.compute.create_server(
            name=name,
            flavor_id=self.flavor_id(memory_mb),
            networks="none",
            **more,
        )
        return Guest(server.id, name, image)

    def start_many(
        self, name: str, image: Image, count: int, **more: Any
    ) -> list[Guest]:
        """Asks Nova for several guests in one request, as :meth:`start` for one."""
        self.start(name, image, min_count=count, max_count=count, **more)
        servers = self._connection.compute.servers(name=f"^{name}-[0-9]+$")
        made = [Guest(server.id, server.name, image) for server in servers]
        if len(made) != count:
            raise LabError(f"{len(made)} guests {name}-N instead of {count}")
        return made

    def boot(
        self, name: str, image: Image, host: str | None = None, **more: Any
    ) -> Guest:
        """Starts a guest and waits until its memory is filled."""
        guest = self.start(name, image, host, **more)
        self.wait_until_ready([guest])
        return guest

    def wait_until_active(self, guest: Guest, timeout_seconds: float = 120) -> None:
        """Waits for Nova's state ACTIVE.

        :raises LabError: the guest went to ERROR (with Nova's reason), or time ran out.
        """

        def active() -> bool:
            server = self._connection.compute.get_server(guest.id)
            if server.status == "ERROR":
                raise LabError(f"guest {guest.name} went to ERROR: {_reason(server)}")
            return bool(server.status == "ACTIVE")

        _wait(active, f"guest {guest.name} is not ACTIVE", timeout_seconds)

    def wait_until_in_error(self, guest: Guest, timeout_seconds: float = 120) -> str:
        """Waits for Nova's state ERROR, and returns Nova's reason."""

        compute = self._connection.compute

        def failed() -> bool:
            return bool(compute.get_server(guest.id).status == "ERROR")

        _wait(failed, f"guest {guest.name} does not fail", timeout_seconds)
        return _reason(compute.get_server(guest.id))

    def is_settled(self, guest: Guest, status: str, host: str | None = None) -> bool:
        """Whether Nova has a guest in a status, and nothing more to do with it.

        :param host: where it shall be, too.
        """
        server = self._connection.compute.get_server(guest.id)
        settled = (server.status, server.task_state) == (status, None)
        return settled and host in (None, server.compute_host)

    def wait_until_ready(
        self, guests: Sequence[Guest], timeout_seconds: float = 180
    ) -> None:
        """Waits until each guest's console says that its memory is filled.

        Not after a migration: the console starts anew on the destination.
        """
        for guest in guests:
            self.wait_until_active(guest)

            def ready(guest: Guest = guest) -> bool:
                return _READY in self.console(guest)

            _wait(ready, f"guest {guest.name} is not ready", timeout_seconds)

    def console(self, guest: Guest) -> str:
        """What the guest printed on its console since it came to its host."""
        compute = self._connection.compute
        return str(compute.get_server_console_output(guest.id)["output"])

    def host(self, guest: Guest) -> str:
        """Where the guest is, as Nova spells the host."""
        server = self._connection.compute.get_server(guest.id)
        return str(server.compute_host)

    def live_migrate(
        self, guest: Guest, host: str | None, timeout_seconds: float = 180
    ) -> Migration:
        """Live-migrates and waits for Nova's migration record.

        :param host: Nova's name of the host; None lets the scheduler choose.
        Nova's word of success is a completed record *and* the guest ACTIVE without a
        task; a record that ended otherwise is returned, not raised.
        """
        compute = self._connection.compute
        known = {record.id for record in self._migrations(guest)}
        begun = time.monotonic()
        compute.live_migrate_server(guest.id, host=host, block_migration="auto")
        ended: list[Any] = []

        def over() -> bool:
            ended[:] = [
                record
                for record in self._migrations(guest)
                if record.id not in known and record.status in _MIGRATION_ENDS
            ]
            return bool(ended) and compute.get_server(guest.id).task_state is None

        _wait(over, f"the migration of {guest.name} does not end", timeout_seconds)
        record = ended[0]
        return Migration(
            str(record.id),
            record.status,
            record.source_compute,
            record.dest_compute,
            time.monotonic() - begun,
        )

    def delete(self, guests: Sequence[Guest], timeout_seconds: float = 60) -> None:
        """Deletes guests and waits until Nova has forgotten them."""
        compute = self._connection.compute
        for guest in guests:
            compute.delete_server(guest.id, ignore_missing=True)
        for guest in guests:

            def gone(guest: Guest = guest) -> bool:
                try:
                    compute.get_server(guest.id)
                except NotFoundException:
                    return True
                return False

            _wait(gone, f"guest {guest.name} does not go away", timeout_seconds)

    def _migrations(self, guest: Guest) -> list[Any]:
        return list(self._connection.compute.migrations(instance_uuid=guest.id))

    def _ensure_file(self, name: str, path: Path, kind: str) -> Any:
        found = self._connection.image.find_image(name)
        return found or self._upload(name, path, kind)

    def _upload(self, name: str, path: Path, kind: str, **properties: str) -> Any:
        return self._connection.image.create_image(
            name,
            filename=str(path),
            container_format=kind if kind in ("aki", "ari") else "bare",
            disk_format=kind,
            visibility="public",
            wait=True,
            **properties,
        )


def _reason(server: Any) -> str:
    return str((server.fault or {}).get("message", "no reason given"))


def _wait(done: Callable[[], bool], complaint: str, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not done():
        if time.monotonic() > deadline:
            raise LabError(f"{complaint} after {timeout_seconds:.0f} s")
        # A question costs Nova a fifteenth of a second of the processors that its
        # answer waits for.
        time.sleep(0.4)
