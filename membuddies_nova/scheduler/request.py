# SPDX-License-Identifier: Apache-2.0
"""What a Nova request says of the guest that is to be placed.

Fields of Nova's objects that were never set raise, or ask the database, when
they are read; each is asked for with ``in`` first.
"""

from typing import Any

from membuddies_nova.cluster import TRUST_GROUP_KEY, Guest


def requested_guest(spec: Any) -> Guest:
    """The guest of a request, as far as the request describes it.

    :param spec: nova.objects.RequestSpec
    """
    image = _field(spec, "image")
    flavor = _field(spec, "flavor")
    return Guest(
        uuid=_field(spec, "instance_uuid") or "",
        name="",
        memory_mb=_field(flavor, "memory_mb") or 0,
        project=_field(spec, "project_id"),
        image=_field(image, "id"),
        os_distro=_field(_field(image, "properties"), "os_distro"),
        flavor=_field(flavor, "name"),
        trust_group=(_field(flavor, "extra_specs") or {}).get(TRUST_GROUP_KEY),
    )


def booked_guest(uuid: str, instance: Any) -> Guest:
    """A guest that Nova counts on a host, as far as Nova has told of it.

    :param instance: nova.objects.Instance, which may know nothing but its uuid
    """
    flavor = _field(instance, "flavor")
    return Guest(
        uuid=uuid,
        name="",
        memory_mb=_field(instance, "memory_mb") or 0,
        project=_field(instance, "project_id"),
        image=_field(instance, "image_ref"),
        flavor=_field(flavor, "name"),
        trust_group=(_field(flavor, "extra_specs") or {}).get(TRUST_GROUP_KEY),
    )


def _field(value: Any, name: str) -> Any:
    """A field of a Nova object, None if it is not set."""
    return getattr(value, name) if value is not None and name in value else None
