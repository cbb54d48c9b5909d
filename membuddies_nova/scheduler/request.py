# SPDX-License-Identifier: Apache-2.0
"""What a Nova request says of the guest that is to be placed.

Fields of Nova's objects that were never set raise, or ask the database, when
they are read; each is asked for with ``in`` first.
"""

from typing import Any

from membuddies_nova.cluster import TRUST_GROUP_KEY, Guest, trust_key

_FIRST_COUNT = "membuddies_first_num_instances"
_ASKED = "membuddies_asked_uuids"


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


def booked_trust_key(instance: Any) -> str | None:
    """The trust key of a guest that Nova counts on a host, None if untold.

    What computes announce has a flavor. What Nova's scheduler read from its
    database has none, and so may belong to a trust group.
    """
    project = _field(instance, "project_id")
    extra_specs = _field(_field(instance, "flavor"), "extra_specs")
    if project is None or extra_specs is None:
        return None
    return trust_key(project, extra_specs.get(TRUST_GROUP_KEY))


def asked_uuids(spec: Any) -> set[str]:
    """The guests of a request that were asked for up to now, with the present one.

    Nova puts members of a server group that it has just booked among a host's
    instances; they are siblings, too.
    """
    asked: set[str] = vars(spec).setdefault(_ASKED, set())
    asked.add(_field(spec, "instance_uuid") or "")
    return asked


def siblings(state: Any) -> int:
    """Guests of this request that were booked on a host before this one.

    Nova makes HostStates anew for every request and counts them up as it books, so
    the first count that is seen is the one before the request.

    :param state: nova.scheduler.host_manager.HostState
    """
    count: int = state.num_instances
    first: int = state.__dict__.setdefault(_FIRST_COUNT, count)
    return count - first if count > first else 0


def _field(value: Any, name: str) -> Any:
    """A field of a Nova object, None if it is not set."""
    return getattr(value, name) if value is not None and name in value else None
