# SPDX-License-Identifier: Apache-2.0
"""What is read from Nova's objects, and what must never be."""

import pytest

from membuddies_nova.scheduler import request
from tests.unit.scheduler.requests import IMAGE, instance_uuid, objects, spec


def test_a_boot_request_tells_image_flavor_project_and_trust_group():
    guest = request.requested_guest(
        spec(distro="debian", extra_specs={"membuddies:trust_group": "blue"})
    )
    assert (guest.uuid, guest.image, guest.os_distro) == (
        instance_uuid(99),
        IMAGE,
        "debian",
    )
    assert (guest.project, guest.flavor, guest.memory_mb, guest.trust_group) == (
        "p1",
        "m1.small",
        1000,
        "blue",
    )


def test_a_guest_booted_from_a_volume_has_no_image():
    assert request.requested_guest(spec(image=None)).image is None


@pytest.mark.parametrize(
    "bare",
    [
        objects.RequestSpec(),
        objects.RequestSpec(image=None, project_id=None),
        objects.RequestSpec(image=objects.ImageMeta(), flavor=objects.Flavor()),
    ],
)
def test_fields_that_were_never_set_are_not_read(bare):
    guest = request.requested_guest(bare)
    assert (guest.image, guest.project, guest.memory_mb) == (None, None, 0)


def test_a_stub_of_a_booked_instance_tells_nothing_but_its_uuid():
    guest = request.booked_guest("u", objects.Instance(uuid=instance_uuid(1)))
    assert (guest.uuid, guest.image, guest.project, guest.memory_mb) == (
        "u",
        None,
        None,
        0,
    )


def test_a_booked_instance_that_a_compute_host_announced_tells_its_image():
    instance = objects.Instance(
        uuid=instance_uuid(1), image_ref=IMAGE, project_id="p1", memory_mb=512
    )
    guest = request.booked_guest(instance.uuid, instance)
    assert (guest.image, guest.project, guest.memory_mb) == (IMAGE, "p1", 512)
