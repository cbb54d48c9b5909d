# SPDX-License-Identifier: Apache-2.0
"""Ten guests at once: booked in one request, and evacuated one by one."""

import os
import signal
from collections.abc import Iterator

import pytest
from openstack.exceptions import BadRequestException

from tests.cloud.lab.guests import Guest
from tests.cloud.lab.images import BlankImage
from tests.cloud.lab.layout import HOSTS

from .stage import IMAGE, KIN_HOST, Stage

CROWD = 10
# Each host holds twelve by memory, and two are on the kin's host already.
SMALL_MB = 64


def test_ten_guests_of_a_new_image_are_together_unless_their_group_parts_them(
    stage: Stage,
) -> None:
    compute = stage.cloud.connect("red").compute
    groups = {
        policy: compute.create_server_group(name=policy, policy=policy)
        for policy in ("affinity", "anti-affinity")
    }
    # Of releases of their own: nobody's guests tell what theirs will hold.
    images = {name: BlankImage(name) for name in ("alone", "close", "apart")}
    ids = [stage.red.image_id(image) for image in images.values()]
    stage.until_all_know(
        lambda board: all(board.image(each) for each in ids),
        "the images are not known",
    )

    def book(
        name: str, image: str, count: int, policy: str | None = None
    ) -> list[Guest]:
        hints = {"group": groups[policy].id} if policy else {}
        return stage.red.start_many(
            name, images[image], count, memory_mb=SMALL_MB, scheduler_hints=hints
        )

    booked: dict[str, list[Guest]] = {}
    try:
        booked["alone"] = book("alone", "alone", CROWD)
        booked["close"] = book("close", "close", CROWD, "affinity")
        booked["apart"] = book("apart", "apart", 3, "anti-affinity")
        booked["too-many"] = book("too-many", "apart", CROWD, "anti-affinity")
        for guest in booked["too-many"]:
            assert "No valid host was found" in stage.red.wait_until_in_error(guest)
        hosts = {}
        for name in ("alone", "close", "apart"):
            for guest in booked[name]:
                stage.red.wait_until_active(guest)
            hosts[name] = {stage.red.host(guest) for guest in booked[name]}
        assert len(hosts["alone"]) == len(hosts["close"]) == 1
        assert hosts["apart"] == set(stage.cloud.hosts)
        # The first knew of no kin, and the others of the first.
        decisions = [stage.log.decision(guest) for guest in booked["alone"]]
        drawn = [
            {host for host, weight in decision.weights.items() if weight > 0}
            for decision in decisions
        ]
        assert drawn.count(set()) == 1
        assert drawn.count(hosts["alone"]) == CROWD - 1
    finally:
        for guests in booked.values():
            stage.delete(stage.red, guests)
        for group in groups.values():
            compute.delete_server_group(group)


@pytest.fixture(scope="module")
def unseen(stage: Stage) -> Iterator[None]:
    """Nobody scans guests while they boot: by default they are too young for it."""
    for place in HOSTS:
        stage.cloud.stop_service(f"membuddies-agent-{place.key}")
    try:
        yield
    finally:
        for place in HOSTS:
            stage.buddies.start_agent(place.key)


@pytest.fixture(scope="module")
def crowd(stage: Stage, unseen: None) -> Iterator[list[Guest]]:
    """Ten guests of the kin's image, of one request.

    Where they are is all that is asked: they need not boot to their end.
    """
    guests = stage.red.start_many("crowd", IMAGE, CROWD)
    try:
        for guest in guests:
            stage.red.wait_until_active(guest)
            stage.cloud.virsh(stage.red.host(guest), "suspend", guest.id)
        yield guests
    finally:
        stage.delete(stage.red, guests)


@pytest.fixture(scope="module")
def latecomer(stage: Stage, crowd: list[Guest]) -> Iterator[Guest]:
    """One more guest of that image, when the kin's host is full."""
    guest = stage.red.start("latecomer", IMAGE)
    try:
        stage.red.wait_until_active(guest)
        yield guest
    finally:
        stage.delete(stage.red, [guest])


def test_ten_guests_of_one_image_are_beside_their_kin_while_room_lasts(
    stage: Stage, crowd: list[Guest], latecomer: Guest
) -> None:
    hosts = [stage.red.host(guest) for guest in crowd]
    print(f"\nasked: 10 of 10 beside their kin; measured: {hosts.count(KIN_HOST)}")
    assert set(hosts) == {KIN_HOST}
    assert stage.red.host(latecomer) != KIN_HOST


def test_ten_evacuated_guests_go_beside_the_kin_that_is_left(
    stage: Stage, crowd: list[Guest], latecomer: Guest
) -> None:
    compute = stage.cloud.connect().compute
    refuge = stage.red.host(latecomer)
    stage.until_all_know(
        lambda board: board.guest(latecomer.id) is not None,
        "the latecomer is not known",
    )
    (service,) = compute.services(binary="nova-compute", host=KIN_HOST)

    def force_down(down: bool) -> bool:
        try:
            compute.update_service_forced_down(
                service, KIN_HOST, "nova-compute", forced=down
            )
        except BadRequestException:
            # Not before the host has destroyed what was evacuated.
            return False
        return True

    # The host dies, but for the kin, whom later tests need.
    stage.cloud.kill_service("nova-compute-c3")
    running = stage.cloud.guest_pids(KIN_HOST)
    for guest in crowd:
        os.kill(running[guest.id], signal.SIGKILL)
    assert force_down(True)
    try:
        for guest in crowd:
            compute.evacuate_server(guest.id)
        # Since Nova 2023.1 an evacuated guest arrives stopped.
        stage.buddies.wait(
            lambda: all(stage.red.is_settled(guest, "SHUTOFF") for guest in crowd),
            "not all guests are evacuated",
        )
        assert {stage.red.host(guest) for guest in crowd} == {refuge}
    finally:
        stage.cloud.restart_service("nova-compute-c3")
        stage.buddies.wait(
            lambda: force_down(False), "Nova does not let the host count as up"
        )
