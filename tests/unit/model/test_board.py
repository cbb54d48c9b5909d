# SPDX-License-Identifier: Apache-2.0
"""From guests of known pages to what a scheduler reads off the board."""

import uuid

from membuddies_nova.cluster import Guest, Host, Image, KsmState, Scope
from membuddies_nova.model.board import board_of
from membuddies_nova.model.profiles import learn
from membuddies_nova.scoreboard import codec
from membuddies_nova.scoreboard.line import HostLine, ImageLine
from tests.unit.model.clusters import snapshot_of_pages

MB = 256
A, B, C = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
HOSTS = (
    Host(name="m0", memory_mb=4096, available_mb=1000),
    Host(name="m1", memory_mb=4096, ksm=KsmState.OFF),
)


def guest(name, host, **facts):
    facts = {"project": "p1", "image": "i1", **facts}
    return Guest(uuid=name, name=name, memory_mb=1024, host=host, **facts)


def board(pages, guests, pending=(), hosts=HOSTS, images=()):
    snapshot = snapshot_of_pages(pages, hosts=hosts, guests=guests)
    value = board_of(
        snapshot,
        learn(snapshot, Scope.PROJECT),
        Scope.PROJECT,
        pending=pending,
        images=images,
    )
    return codec.decode(codec.encode(value))


def test_the_board_tells_hosts_rows_and_guests():
    value = board(
        {A: range(40 * MB), B: range(30 * MB)},
        [guest(A, "m0"), guest(B, "m1"), guest(C, "m1")],
        pending=[C],
    )
    # Rounded down to 64 MB.
    assert value.host("m0") == HostLine(KsmState.MERGING, 960)
    assert value.host("m1") == HostLine(KsmState.OFF, None)
    row = value.row("project:p1", ["image:i1"])
    assert value.shared_mb(row) == {"m0": 20.0, "m1": 20.0}
    assert value.overlaps_mb(row)[row] == 20.0
    first = value.guest(A)
    assert (first.host, first.key, first.row, first.memory_mb) == (
        "m0",
        "project:p1",
        row,
        1024,
    )
    assert value.own_shared_mb(first) == {"m1": 30.0}
    assert value.pending("m1") == {C}
    assert value.settled("m1") == {B}


def test_a_guest_of_a_new_image_is_stood_for_by_its_project():
    value = board(
        {A: range(40 * MB)}, [guest(A, "m0"), guest(C, "m1", image="i9")], pending=[C]
    )
    row = value.guest(C).row
    assert value.row_name(row) == "project:p1"


def test_a_guest_of_a_project_without_fingerprints_has_no_row():
    value = board({A: range(40 * MB)}, [guest(A, "m0"), guest(C, "m1", project="p2")])
    assert value.guest(C).row is None


def test_the_facts_of_a_host_are_rounded_to_the_safe_side():
    busy = Host(
        name="m0",
        memory_mb=4096,
        available_mb=1023,
        sharing_mb=1025,
        pressure=0.123,
        swap_in_pages_per_second=0.2,
        trust_group="red",
    )
    assert board({}, [], hosts=[busy]).host("m0") == HostLine(
        KsmState.MERGING,
        960,
        sharing_mb=1088,
        pressure=0.12,
        swap_in_pages_per_second=1,
        trust_group="red",
    )


def test_the_board_tells_whose_a_guest_is_whatever_its_scope():
    mine = guest(A, "m0", project="p1", trust_group="blue")
    value = board({}, [mine, guest(B, "m1", project="p2", image=None)])
    assert (value.guest(A).project, value.guest(A).trust_group) == ("p1", "blue")
    assert (value.guest(B).project, value.guest(B).trust_group) == ("p2", None)
    assert value.guest(A).profile == "image:i1"
    assert value.guest(B).profile == "project:p2"


def test_a_shelved_guest_is_on_the_board_with_its_best_hosts():
    shelved = guest(A, None, power_state=4)
    value = board({A: range(40 * MB), B: range(30 * MB)}, [shelved, guest(B, "m1")])
    assert value.guest(A).host is None
    assert value.own_shared_mb(value.guest(A)) == {"m1": 30.0}
    assert value.own_shared_mb(value.guest(B)) == {}


def test_images_tell_their_release_and_base():
    images = [
        Image(id=A, os_distro="debian", os_version="12"),
        Image(id=B, os_distro="no\nsense", base=A),
        Image(id=C, base="no uuid"),
        Image(id="no uuid", os_distro="debian"),
    ]
    value = board({}, [], images=images)
    assert value.image(A) == ImageLine("debian", "12", None)
    assert value.image(B) == ImageLine("no sense", None, A)
    assert value.image(C) == ImageLine(None, None, None)
    assert value.image("no uuid") is None


def test_one_snapshot_makes_one_board():
    pages = {A: range(40 * MB), B: range(30 * MB)}
    guests = [guest(A, "m0"), guest(B, "m1", image="i2\nof two lines")]
    assert codec.encode(board(pages, guests)) == codec.encode(
        board(dict(reversed(pages.items())), guests)
    )


def test_an_empty_cloud_has_an_empty_board():
    assert board({}, []).host("m0") == HostLine(KsmState.MERGING, 960)
