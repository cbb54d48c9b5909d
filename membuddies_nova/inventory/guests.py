# SPDX-License-Identifier: Apache-2.0
"""Guests, made of what Nova, Glance and Cinder answered. Pure: JSON in, values out.

A flavor's extra specs may carry two keys of ours: ``membuddies:trust_group`` and
``membuddies:movable``; an instance's metadata the latter.
"""

import dataclasses
import datetime
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from oslo_log import log as logging

from membuddies_nova.cluster import (
    TRUST_GROUP_KEY,
    Aggregate,
    Guest,
    Image,
    ServerGroup,
    may_move,
    told_by,
)
from membuddies_nova.facts import FINGERPRINT_SOURCE_KEY, Source
from membuddies_nova.inventory.cloud import InventoryError, Json
from membuddies_nova.inventory.hosts import CELL_KEY

LOG = logging.getLogger(__name__)

_HOST = "OS-EXT-SRV-ATTR:host"
_ROOT_DEVICE = "OS-EXT-SRV-ATTR:root_device_name"
# Nova's word for the image that a snapshot's guest was booted from.
_BASE_IMAGE = "base_image_ref"
# What Nova shows of every task state of live migrations, cold ones and resizes.
_MOVING = frozenset({"MIGRATING", "RESIZE", "VERIFY_RESIZE", "REVERT_RESIZE"})
# Image properties that tie memory to its host exactly as the flavor's extra specs
# of the same meaning do (nova.virt.hardware reads either).
_TYING_PROPERTIES = {
    "hw_mem_page_size": "hw:mem_page_size",
    "hw_mem_encryption": "hw:mem_encryption",
    "hw_locked_memory": "hw:locked_memory",
}
# Like the flavor's extra spec, which overrides it.
_SOURCE_PROPERTY = "membuddies_fingerprint_source"


@dataclasses.dataclass(frozen=True, slots=True)
class ImageFacts:
    """The image a guest was made from, as far as it is known."""

    id: str | None = None
    properties: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the list of servers does not tell of them.

    :ivar images: properties by image id, of the images that Glance shows
    :ivar volume_images: by the uuid of a volume-booted guest
    :ivar groups: server group by member's uuid
    :ivar aggregates: by host
    :ivar transit: both hosts of a guest that is between two, by its uuid
    :ivar unmovable_projects: their guests stay
    """

    images: Mapping[str, Mapping[str, Any]]
    volume_images: Mapping[str, ImageFacts]
    groups: Mapping[str, ServerGroup]
    aggregates: Mapping[str, tuple[Aggregate, ...]]
    transit: Mapping[str, Collection[str]]
    unmovable_projects: Collection[str]


def is_volume_booted(server: Json) -> bool:
    return not server["image"]


def is_in_transit(server: Json) -> bool:
    """Whether a guest is between two hosts, or waits to be confirmed on the second."""
    return server["status"] in _MOVING


def group_hints(servers: Iterable[Json]) -> set[str]:
    """Ids of the server groups that guests were booted into."""
    return {
        hint
        for server in servers
        if (hint := _hints(server["scheduler_hints"]).get("group")) is not None
    }


def groups_by_member(groups: Iterable[Json]) -> dict[str, ServerGroup]:
    """Server group by member's uuid.

    Names of server groups repeat, so the id is part of ours.
    """
    found = {}
    for record in groups:
        group = ServerGroup(
            name=f"{record['name']} ({record['id']})",
            policy=record["policy"],
            max_server_per_host=int(
                (record["rules"] or {}).get("max_server_per_host", 1)
            ),
        )
        found.update(dict.fromkeys(record["members"], group))
    return found


def volume_images(
    servers: Iterable[Json], volumes: Iterable[Json]
) -> dict[str, ImageFacts]:
    """The image of each volume-booted guest's root volume, where Cinder tells it."""
    devices = {
        server["id"]: server[_ROOT_DEVICE]
        for server in servers
        if is_volume_booted(server)
    }
    found = {}
    for volume in volumes:
        properties = volume.get("volume_image_metadata") or {}
        for attachment in volume.get("attachments") or ():
            guest = attachment.get("server_id")
            if guest in devices and attachment.get("device") == devices[guest]:
                found[guest] = ImageFacts(properties.get("image_id"), properties)
    return found


def images_of(records: Iterable[Json]) -> list[Image]:
    """What Glance tells of the memory of images' guests; most images tell nothing."""
    found = []
    for record in records:
        distro, version, base = (
            _text(record.get(name)) for name in ("os_distro", "os_version", _BASE_IMAGE)
        )
        if distro or base:
            found.append(
                Image(id=record["id"], os_distro=distro, os_version=version, base=base)
            )
    return found


def guests_of(
    servers: Iterable[Json], surroundings: Surroundings, now: float
) -> list[Guest]:
    """All guests that Nova has, placed or not.

    :param now: seconds since the epoch
    """
    guests = []
    for server in servers:
        if _HOST not in server:
            raise InventoryError(
                f"Nova: hides the hosts of guests ({_HOST}) from the reader's "
                f"credential; give it the role admin, or allow "
                f"os_compute_api:os-extended-server-attributes in Nova's policy"
            )
        if not server["flavor"]:
            LOG.warning("Guest %s left out: Nova lost its flavor", server["id"])
            continue
        if "extra_specs" not in server["flavor"]:
            raise InventoryError(
                "Nova: hides the extra specs of flavors from the reader's "
                "credential; give it the role reader in its project, or allow "
                "os_compute_api:os-flavor-extra-specs:index in Nova's policy"
            )
        guests.append(_guest(server, surroundings, now))
    return guests


def _guest(server: Json, surroundings: Surroundings, now: float) -> Guest:
    uuid, host, flavor = server["id"], server[_HOST], server["flavor"]
    image = _image(server, surroundings)
    aggregates = surroundings.aggregates.get(host, ())
    extra_specs = flavor["extra_specs"]
    return Guest(
        uuid=uuid,
        name=server["name"],
        memory_mb=flavor["ram"],
        vcpus=flavor["vcpus"],
        disk_gb=_disk_gb(server),
        host=host,
        cell=told_by(aggregates, CELL_KEY),
        project=server["tenant_id"],
        image=image.id,
        base_image=_text(image.properties.get(_BASE_IMAGE)),
        os_distro=image.properties.get("os_distro"),
        os_version=image.properties.get("os_version"),
        flavor=flavor["original_name"],
        status=server["status"],
        task_state=server["OS-EXT-STS:task_state"],
        power_state=server["OS-EXT-STS:power_state"],
        locked=server["locked"],
        migrating=is_in_transit(server),
        other_host=_other_host(host, surroundings.transit.get(uuid, ())),
        group=surroundings.groups.get(uuid),
        pinned_zone=server["pinned_availability_zone"],
        hints=_hints(server["scheduler_hints"]),
        metadata=dict(server["metadata"]),
        extra_specs={
            **{
                spec: str(image.properties[name])
                for name, spec in _TYING_PROPERTIES.items()
                if name in image.properties
            },
            **_source(image),
            **extra_specs,
        },
        trust_group=extra_specs.get(TRUST_GROUP_KEY),
        movable=may_move(
            project=server["tenant_id"],
            excluded_projects=surroundings.unmovable_projects,
            metadata=server["metadata"],
            extra_specs=extra_specs,
            host_aggregates=aggregates,
        ),
        age_seconds=_age_seconds(server["OS-SRV-USG:launched_at"], now),
    )


def _other_host(host: str | None, ends: Collection[str]) -> str | None:
    """The other one of a guest's two hosts.

    Two that are both others' are those of a migration that has ended or begun since
    the guest's own host was read.
    """
    others = set(ends) - {host}
    return others.pop() if len(others) == 1 else None


def _source(image: ImageFacts) -> dict[str, str]:
    """Who reads the memory of an image's guests, if it says so.

    Whoever makes an image can keep the host from reading its guests, but not have it
    read what the operator says it must not.
    """
    wanted = image.properties.get(_SOURCE_PROPERTY)
    return {FINGERPRINT_SOURCE_KEY: wanted} if wanted == Source.GUEST else {}


def _image(server: Json, surroundings: Surroundings) -> ImageFacts:
    """A guest's image; what Nova remembers of it outlives the image."""
    if is_volume_booted(server):
        return surroundings.volume_images.get(server["id"], ImageFacts())
    image = server["image"]
    return ImageFacts(
        image["id"],
        {**surroundings.images.get(image["id"], {}), **image["properties"]},
    )


def _text(value: object) -> str | None:
    """A property that is a text, None for anything else."""
    return value if isinstance(value, str) and value else None


def _disk_gb(server: Json) -> int:
    """What the guest claims of DISK_GB, as Nova reckons it."""
    flavor = server["flavor"]
    root = 0 if is_volume_booted(server) else flavor["disk"]
    return int(root + flavor["ephemeral"] + math.ceil(flavor["swap"] / 1024))


def _hints(hints: Mapping[str, Any] | None) -> dict[str, str]:
    """Nova keeps each hint's values as a list."""
    return {
        name: ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in (hints or {}).items()
    }


def _age_seconds(launched_at: str | None, now: float) -> float | None:
    if launched_at is None:
        return None
    moment = datetime.datetime.fromisoformat(launched_at)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return max(now - moment.timestamp(), 0.0)
