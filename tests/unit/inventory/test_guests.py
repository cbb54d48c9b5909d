# SPDX-License-Identifier: Apache-2.0
"""What becomes of Nova's, Glance's and Cinder's records of guests."""

import datetime

import pytest

from membuddies_nova.cluster import Aggregate, Image, ServerGroup
from membuddies_nova.inventory.cloud import InventoryError
from membuddies_nova.inventory.guests import (
    ImageFacts,
    Surroundings,
    group_hints,
    groups_by_member,
    guests_of,
    images_of,
    volume_images,
)
from tests.unit.inventory import records

NOW = datetime.datetime(2026, 11, 24, 11, tzinfo=datetime.UTC).timestamp()

SOURCE = "membuddies:fingerprint_source"


def guest(server=None, **changes):
    surroundings = {
        "images": {},
        "volume_images": {},
        "groups": {},
        "aggregates": {},
        "transit": {},
        "unmovable_projects": (),
    }
    [found] = guests_of(
        [server or records.server()], Surroundings(**(surroundings | changes)), NOW
    )
    return found


def test_a_guest_is_what_nova_says():
    found = guest(
        records.server(
            locked=True,
            metadata={"role": "web"},
            pinned_availability_zone="az1",
            scheduler_hints={"different_host": ["a", "b"], "group": [records.GROUP]},
            **{"OS-EXT-STS:task_state": "rebooting", "OS-EXT-STS:power_state": 3},
        )
    )
    assert found.uuid == records.GUEST.format(1)
    assert (found.name, found.host, found.project) == ("vm1", "c1", records.PROJECT)
    assert (found.memory_mb, found.vcpus, found.flavor) == (512, 2, "m1.small")
    assert (found.status, found.task_state, found.power_state) == (
        "ACTIVE",
        "rebooting",
        3,
    )
    assert found.locked
    assert found.metadata == {"role": "web"}
    assert found.pinned_zone == "az1"
    assert found.hints == {"different_host": "a,b", "group": records.GROUP}
    assert found.image == records.IMAGE
    assert found.age_seconds == 3600
    assert found.movable


def test_a_guest_that_is_not_placed_has_no_host_and_no_age():
    found = guest(records.server(host=None, **{"OS-SRV-USG:launched_at": None}))
    assert found.host is None
    assert found.age_seconds is None


@pytest.mark.parametrize(
    ("status", "migrating"),
    [("ACTIVE", False), ("MIGRATING", True), ("VERIFY_RESIZE", True)],
)
def test_a_guest_between_two_hosts_is_migrating(status, migrating):
    assert guest(records.server(status=status)).migrating is migrating


@pytest.mark.parametrize(
    ("ends", "other"),
    [
        ({"c1", "c2"}, "c2"),
        ({"c1"}, None),
        ((), None),
        ({"c2", "c3"}, None),
    ],
)
def test_a_guest_between_two_hosts_counts_on_the_other_too(ends, other):
    found = guest(transit={records.GUEST.format(1): ends})
    assert (found.host, found.other_host) == ("c1", other)


def test_the_root_disk_counts_unless_it_is_a_volume():
    assert guest(records.server()).disk_gb == 10 + 1 + 1
    assert guest(records.server(image="")).disk_gb == 1 + 1


def test_glance_tells_the_system_and_nova_what_it_was_at_the_start():
    server = records.server()
    server["image"]["properties"] = {"os_distro": "debian"}
    images = {records.IMAGE: {"os_distro": "renamed", "os_version": "12"}}
    found = guest(server, images=images)
    assert (found.os_distro, found.os_version) == ("debian", "12")


def test_a_private_image_that_glance_hides_is_no_error():
    assert guest(images={}).os_distro is None


def test_the_image_of_a_volume_booted_guest_is_its_root_volume_s():
    server = records.server(image="")
    volumes = [
        records.volume(server["id"], "/dev/vdb", "data"),
        records.volume(server["id"]),
        records.volume("another", "/dev/vda", "other"),
    ]
    found = guest(server, volume_images=volume_images([server], volumes))
    assert (found.image, found.os_distro) == (records.IMAGE, "debian")


def test_a_volume_without_an_image_gives_none():
    server = records.server(image="")
    blank = {**records.volume(server["id"]), "volume_image_metadata": None}
    assert volume_images([server], [blank]) == {server["id"]: ImageFacts()}


def test_members_of_a_group_know_it_by_a_name_that_no_other_has():
    members = [records.GUEST.format(1), records.GUEST.format(2)]
    groups = groups_by_member([records.group(*members)])
    assert guest(groups=groups).group == ServerGroup(
        name=f"web ({records.GROUP})", policy="anti-affinity", max_server_per_host=2
    )


def test_a_group_without_rules_allows_one_member_a_host():
    [group] = groups_by_member([records.group("a", rules={})]).values()
    assert group.max_server_per_host == 1


def test_the_groups_that_guests_were_booted_into_are_found_in_their_hints():
    servers = [
        records.server(1, scheduler_hints={"group": [records.GROUP]}),
        records.server(2, scheduler_hints=None),
    ]
    assert group_hints(servers) == {records.GROUP}


def test_the_flavor_names_the_trust_group_and_what_ties_a_guest():
    found = guest(
        records.server(
            flavor=records.flavor(
                **{"membuddies:trust_group": "gold", "hw:mem_page_size": "1GB"}
            )
        )
    )
    assert found.trust_group == "gold"
    assert found.extra_specs["hw:mem_page_size"] == "1GB"


def test_an_image_property_ties_a_guest_as_the_flavor_does():
    server = records.server()
    server["image"]["properties"] = {"hw_mem_encryption": "true", "hw_rng_model": "v"}
    assert guest(server).extra_specs == {"hw:mem_encryption": "true"}


@pytest.mark.parametrize(
    ("image", "flavor", "specs"),
    [
        ("guest", {}, {SOURCE: "guest"}),
        # The flavor is the operator's; an image cannot have the host read its guests.
        ("guest", {SOURCE: "host"}, {SOURCE: "host"}),
        ("host", {}, {}),
        ("auto", {}, {}),
        (["guest"], {}, {}),
    ],
)
def test_an_image_can_keep_the_host_from_reading_its_guests(image, flavor, specs):
    server = records.server(flavor=records.flavor(**flavor))
    server["image"]["properties"] = {"membuddies_fingerprint_source": image}
    assert guest(server).extra_specs == specs


@pytest.mark.parametrize(
    ("server", "surroundings"),
    [
        (records.server(metadata={"membuddies:movable": "false"}), {}),
        (records.server(flavor=records.flavor(**{"membuddies:movable": "no"})), {}),
        (records.server(), {"unmovable_projects": [records.PROJECT]}),
        (
            records.server(),
            {
                "aggregates": {
                    "c1": (Aggregate(name="a", metadata={"membuddies:movable": "0"}),)
                }
            },
        ),
    ],
)
def test_each_way_to_opt_out_keeps_the_guest(server, surroundings):
    assert not guest(server, **surroundings).movable


def test_a_guest_is_in_the_cell_of_its_host():
    aggregate = Aggregate(name="a", metadata={"membuddies:cell": "cell1"})
    assert guest(aggregates={"c1": (aggregate,)}).cell == "cell1"


def test_a_guest_whose_flavor_nova_lost_does_not_spoil_the_others():
    servers = [records.server(1, flavor={}), records.server(2)]
    surroundings = Surroundings(
        images={},
        volume_images={},
        groups={},
        aggregates={},
        transit={},
        unmovable_projects=(),
    )
    [found] = guests_of(servers, surroundings, NOW)
    assert found.uuid == records.GUEST.format(2)


@pytest.mark.parametrize(
    ("hidden", "rule"),
    [
        ("OS-EXT-SRV-ATTR:host", "os-extended-server-attributes"),
        ("extra_specs", "os-flavor-extra-specs:index"),
    ],
)
def test_a_credential_that_sees_too_little_is_told_what_it_lacks(hidden, rule):
    server = records.server()
    del (server["flavor"] if hidden == "extra_specs" else server)[hidden]
    with pytest.raises(InventoryError, match=rf"role \w+.*{rule}"):
        guest(server)


def test_images_tell_their_release_and_what_they_are_a_snapshot_of():
    found = images_of(
        [
            {"id": "i1", "os_distro": "debian", "os_version": "12"},
            {"id": "i2", "base_image_ref": "i1", "image_type": "snapshot"},
            {"id": "i3", "hw_disk_bus": "virtio"},
            {"id": "i4", "os_distro": None, "base_image_ref": ""},
        ]
    )
    assert found == [
        Image(id="i1", os_distro="debian", os_version="12"),
        Image(id="i2", base="i1"),
    ]


def test_a_guest_of_a_snapshot_knows_the_image_it_was_made_of():
    base = "8c0a4c8e-9d0f-4a57-8d0a-0c8a3f1d2b4e"
    images = {records.IMAGE: {"base_image_ref": base}}
    assert guest(images=images).base_image == base
    assert guest().base_image is None
