# SPDX-License-Identifier: Apache-2.0
"""Guests that are booked one by one: what draws them to a host, and what does not."""

import pytest
from openstack.exceptions import BadRequestException

from membuddies_nova.cluster import KsmState
from membuddies_nova.scoreboard.board import Scoreboard
from tests.cloud.lab.guests import Guest
from tests.cloud.lab.images import BlankImage, SnapshotImage

from .stage import BLUE_HOST, IMAGE, KIN_HOST, WORKERS, Stage, assert_drawn_to


def test_a_guest_is_placed_beside_its_kin_by_either_worker(stage: Stage) -> None:
    seen: set[int] = set()
    with stage.placing(stage.red) as place:
        for number in range(6):
            host, decision = place(f"beside-{number}")
            assert_drawn_to(KIN_HOST, decision)
            assert host == KIN_HOST, decision
            seen.add(decision.worker)
            if len(seen) == WORKERS:
                break
    assert len(seen) == WORKERS


def test_guests_of_two_projects_booked_at_once_go_each_to_its_own_kin(
    stage: Stage,
) -> None:
    """Of one image all the same: another project's kin scores exactly 0."""
    booked = [
        (guests, guests.start("at-once", IMAGE), host)
        for guests, host in ((stage.red, KIN_HOST), (stage.blue, BLUE_HOST))
    ]
    try:
        for guests, guest, host in booked:
            guests.wait_until_active(guest)
            assert guests.host(guest) == host
            assert_drawn_to(host, stage.log.decision(guest))
    finally:
        for guests, guest, _host in booked:
            stage.delete(guests, [guest])


def test_an_aggregates_multiplier_of_0_switches_the_weigher_off_at_once(
    stage: Stage,
) -> None:
    compute = stage.cloud.connect().compute
    aggregate = compute.create_aggregate(name="no-buddies")
    compute.add_host_to_aggregate(aggregate, KIN_HOST)
    try:
        compute.set_aggregate_metadata(aggregate, {"sharing_weight_multiplier": "0"})
        with stage.placing(stage.red) as place:
            host, decision = place("unweighed")
        assert_drawn_to(KIN_HOST, decision)
        assert host != KIN_HOST
    finally:
        compute.remove_host_from_aggregate(aggregate, KIN_HOST)
        compute.delete_aggregate(aggregate)


def test_hosts_whose_ksm_merges_no_more_draw_nobody(stage: Stage) -> None:
    """Neither one whose KSM is off, nor one that has only kept what it merged."""

    def shows(red: KsmState, blue: KsmState) -> None:
        def known(board: Scoreboard) -> bool:
            lines = (board.host(KIN_HOST), board.host(BLUE_HOST))
            return [line.ksm for line in lines if line] == [red, blue]

        stage.until_all_know(known, f"the hosts' KSM is not {red} and {blue}")

    stage.ksm[KIN_HOST](0, 0)
    stage.ksm[BLUE_HOST](0, 100)
    try:
        shows(KsmState.OFF, KsmState.UNKNOWN)
        with (
            stage.placing(stage.red) as place_red,
            stage.placing(stage.blue) as place_blue,
        ):
            for place in (place_red, place_blue):
                host, decision = place("unpromised")
                assert set(decision.weights.values()) == {0.0}
                # Nova's own weighers prefer an emptier one.
                assert host != KIN_HOST
    finally:
        for host in (KIN_HOST, BLUE_HOST):
            stage.ksm[host](1, 100)
    shows(KsmState.MERGING, KsmState.MERGING)


def test_a_snapshots_guest_is_placed_beside_guests_of_the_original_image(
    stage: Stage,
) -> None:
    connection = stage.cloud.connect("red")
    snapshot = connection.compute.create_server_image(stage.kin.id, "of-kin", wait=True)
    try:
        # Glance shows the controller's reader no private images of others.
        connection.image.update_image(snapshot.id, visibility="public")
        stage.until_all_know(
            lambda board: (
                (line := board.image(snapshot.id)) is not None
                and line.base_image == stage.red.image_id(IMAGE)
            ),
            "the snapshot is not known",
        )
        with stage.placing(stage.red) as place:
            host, decision = place("of-snapshot", SnapshotImage("of-kin"))
        assert host == KIN_HOST
        assert_drawn_to(KIN_HOST, decision)
    finally:
        connection.image.delete_image(snapshot.id)


def test_boots_from_volumes_fail_where_no_cinder_is_as_with_nova_alone(
    stage: Stage,
) -> None:
    """Nova places those whose volumes its hosts shall make, weighed like others, also
    one of whose request names no image; the hosts then find no Cinder."""
    volume = {"destination_type": "volume", "boot_index": 0, "volume_size": 1}
    image = {"source_type": "image", "uuid": stage.red.image_id(IMAGE)}
    booked: list[Guest] = []
    try:
        for source in (image, {"source_type": "blank"}):
            mapping = [volume | source]
            guest = stage.red.start("volume", None, block_device_mapping=mapping)
            booked.append(guest)
        for guest in booked:
            fault = stage.red.wait_until_in_error(guest)
            assert fault == (
                f"Build of instance {guest.id} aborted: "
                "publicURL endpoint for volumev3 service not found"
            )
        of_image, of_nothing = (stage.log.decision(guest) for guest in booked)
        assert_drawn_to(KIN_HOST, of_image)
        # By its project alone.
        assert set(of_nothing.weights) == set(stage.cloud.hosts)
        assert all(0.0 <= weight <= 1.0 for weight in of_nothing.weights.values())
    finally:
        stage.red.delete(booked)
        # Nova shuns a host whose last build failed, until one succeeds there.
        blank = BlankImage("blank")
        hosts = stage.cloud.hosts
        forgiving = [stage.red.start("blank", blank, host) for host in hosts]
        for guest in forgiving:
            stage.red.wait_until_active(guest)
        stage.delete(stage.red, forgiving)

    # For a volume that is there, Nova's API itself asks Cinder.
    there = {"source_type": "volume", "uuid": stage.kin.id}
    refused = "Block Device Mapping is Invalid: failed to get volume"
    with pytest.raises(BadRequestException, match=refused):
        stage.red.start("volume", None, block_device_mapping=[volume | there])
