# SPDX-License-Identifier: Apache-2.0
"""The board's bytes, its checks, and what is looked up in it."""

import dataclasses
import struct
import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from membuddies_nova.cluster import Guest, KsmState, Scope
from membuddies_nova.exceptions import MessageError
from membuddies_nova.scoreboard import codec
from membuddies_nova.scoreboard.board import Scoreboard
from membuddies_nova.scoreboard.columns import COLUMNS, NAMES
from membuddies_nova.scoreboard.line import GuestLine, HostLine, ImageLine
from membuddies_nova.scoreboard.profile import profile_chain, taught_profiles
from tests.unit.scoreboard.boards import GuestRow, HostRow, board, boards

UUID = str(uuid.UUID(int=7))
IMAGE, BASE = str(uuid.UUID(int=8)), str(uuid.UUID(int=9))
HOST = (KsmState.MERGING, 4096)
ROW = ("project:p1", "image:i1")
OTHER = ("project:p1", "project:p1")


@pytest.fixture
def small():
    return board(
        hosts={
            "m0": (KsmState.MERGING, 4096),
            "m1": (KsmState.UNKNOWN, -1),
            "m2": (KsmState.OFF, 0),
        },
        rows={ROW: {"m0": 100.0, "m1": 50.0}, OTHER: {}},
        overlaps={(ROW, ROW): 80.0, (ROW, OTHER): 20.0},
        guests=(
            GuestRow(uuid=str(uuid.UUID(int=1)), host="m0", row=ROW),
            GuestRow(
                uuid=UUID,
                host="m1",
                row=ROW,
                memory_mb=512,
                pending=True,
                best={"m2": 30.0},
                profile="image:i1",
                project="p1",
                group="blue",
            ),
        ),
        images={IMAGE: ("debian", "12", BASE)},
        facts={
            "m2": HostRow(sharing_mb=640, pressure_percent=25, swap_in=7, group="red")
        },
    )


@given(boards())
def test_a_decoded_board_encodes_to_the_same_bytes(value):
    data = codec.encode(value)
    again = codec.decode(data)
    assert codec.encode(again) == data
    assert (again.hosts, again.keys, again.profiles, again.scope) == (
        value.hosts,
        value.keys,
        value.profiles,
        value.scope,
    )


@given(st.binary(max_size=200))
def test_any_bytes_are_a_board_or_refused(data):
    with pytest.raises(MessageError):
        codec.decode(data)


@given(boards(), st.data())
def test_a_damaged_board_is_refused_or_another_valid_board(value, data):
    encoded = bytearray(codec.encode(value))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    damaged = bytes(encoded)
    assert codec.version(damaged) != codec.version(codec.encode(value))
    try:
        read = codec.decode(damaged)
    except MessageError:
        return
    # Damage to the name of a column that came later makes it one of the future.
    again = codec.encode(read.prepared())
    assert codec.encode(codec.decode(again)) == again


@given(boards(), st.data())
def test_a_board_cut_short_is_refused(value, data):
    encoded = codec.encode(value)
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    with pytest.raises(MessageError):
        codec.decode(cut)


def test_a_board_that_announces_more_than_it_has_costs_no_memory(small):
    encoded = bytearray(codec.encode(small))
    # The size of the first column.
    struct.pack_into("<I", encoded, 8 + 28, 2**32 - 1)
    with pytest.raises(MessageError, match="announces"):
        codec.decode(bytes(encoded))


def test_a_board_of_200_mb_is_refused_unread():
    with pytest.raises(MessageError, match="bytes"):
        codec.decode(bytes(200 * 2**20))


@given(boards())
def test_a_board_comes_through_the_wire_whole(value):
    data = codec.encode(value)
    assert codec.decompress(codec.compress(data)) == data


@given(st.binary(max_size=100))
def test_any_bytes_from_the_wire_are_refused(body):
    with pytest.raises(MessageError):
        codec.decompress(body)


@pytest.mark.parametrize("damage", [b"more", None])
def test_a_body_with_too_much_or_too_little_is_refused(small, damage):
    body = codec.compress(codec.encode(small))
    with pytest.raises(MessageError):
        codec.decompress(body[:-1] if damage is None else body + damage)


def test_a_small_body_that_would_unpack_to_200_mb_is_refused():
    with pytest.raises(MessageError, match="too large"):
        codec.decompress(codec.compress(bytes(200 * 2**20)))


def columns_of(data):
    """An encoded board's columns: name, type and bytes of each."""
    (count,) = struct.unpack_from("<H", data, 6)
    offset = 8 + 32 * count
    found = []
    for name, kind, size in struct.iter_unpack("<24s4sI", data[8:offset]):
        found.append((name.rstrip(b"\0").decode(), kind, data[offset : offset + size]))
        offset += size
    return found


def with_columns(data, columns):
    """The board's bytes with other columns."""
    return b"".join(
        (
            data[:6],
            struct.pack("<H", len(columns)),
            *(struct.pack("<24s4sI", n.encode(), k, len(d)) for n, k, d in columns),
            *(d for _, _, d in columns),
        )
    )


def test_a_board_of_an_older_controller_lacks_what_came_later(small):
    data = codec.encode(small)
    first = {each.name for each in (*NAMES, *COLUMNS) if not each.optional}
    older = with_columns(data, [each for each in columns_of(data) if each[0] in first])
    assert len(older) < len(data)
    value = codec.decode(older).prepared()
    assert value.host("m0") == HostLine(KsmState.MERGING, 4096)
    line = value.guest(UUID)
    assert (line.row, line.project, line.trust_group, line.profile) == (
        0,
        None,
        None,
        None,
    )
    assert value.image(IMAGE) is None
    assert value.shared_mb(0) == small.shared_mb(0)


def test_a_board_of_a_newer_controller_is_read_without_what_is_new(small):
    data = codec.encode(small)
    newer = [*columns_of(data), ("host_moods", b"<f8\0", bytes(24))]
    value = codec.decode(with_columns(data, newer))
    assert codec.encode(value) == data


@pytest.mark.parametrize("missing", ["hosts", "host_ksm", "guest_uuid", "row_end"])
def test_a_board_without_what_every_board_has_is_refused(small, missing):
    data = codec.encode(small)
    rest = [each for each in columns_of(data) if each[0] != missing]
    with pytest.raises(MessageError, match=rf"{missing}.*missing"):
        codec.decode(with_columns(data, rest))


def test_a_column_twice_or_of_another_type_is_refused(small):
    data = codec.encode(small)
    columns = columns_of(data)
    with pytest.raises(MessageError, match=r"hosts.*twice"):
        codec.decode(with_columns(data, [*columns, columns[0]]))
    with pytest.raises(MessageError, match=r"hosts.*type"):
        codec.decode(with_columns(data, [("hosts", b"<i4\0", b""), *columns[1:]]))


def test_a_newer_version_is_named_in_the_refusal(small):
    encoded = bytearray(codec.encode(small))
    encoded[4] = 2
    with pytest.raises(MessageError, match="version 2"):
        codec.decode(bytes(encoded))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host_ksm", [4, 0, 0]),
        ("host_available_mb", [-2, 0, 0]),
        ("row_key", [0, 1]),
        ("row_profile", [-1, 0]),
        ("row_end", [2, 1]),
        ("row_end", [3, 3]),
        ("row_end", [-1, 2]),
        ("entry_host", [0, 3]),
        ("entry_mb", [np.nan, 1.0]),
        ("entry_mb", [-1.0, 1.0]),
        ("overlap_row", [0, 2]),
        ("overlap_end", [2, 1]),
        ("overlap_mb", [np.inf, 0.0]),
        ("guest_host", [0, 3]),
        ("guest_row", [0, -2]),
        ("guest_pending", [0, 2]),
        ("guest_end", [0, 0]),
        ("best_host", [9]),
        ("host_sharing_mb", [-2, 0, 0]),
        ("host_group", [0, 0, 7]),
        ("guest_project", [0, 7]),
        ("guest_profile", [0, 7]),
        ("image_distro", [7]),
    ],
)
def test_values_that_cannot_be_are_refused_by_name(small, name, value):
    array = np.array(value, getattr(small, name).dtype)
    with pytest.raises(MessageError, match=name):
        dataclasses.replace(small, **{name: array})


def test_a_name_twice_is_refused(small):
    with pytest.raises(MessageError, match="hosts"):
        dataclasses.replace(small, hosts=("m0", "m0", "m2"))


def test_a_name_of_two_lines_is_refused(small):
    with pytest.raises(MessageError, match="hosts"):
        dataclasses.replace(small, hosts=("m0", "m\n1", "m2"))


def test_a_host_is_found_with_its_ksm_state_and_memory(small):
    assert small.host("m0") == HostLine(KsmState.MERGING, 4096)
    assert small.host("m1") == HostLine(KsmState.UNKNOWN, None)
    assert small.host("m2") == HostLine(
        KsmState.OFF,
        0,
        sharing_mb=640,
        pressure=0.25,
        swap_in_pages_per_second=7,
        trust_group="red",
    )
    assert small.host("elsewhere") is None


def test_a_row_is_the_first_of_the_chain_that_the_key_has(small):
    assert small.row("project:p1", ("image:i2", "image:i1")) == 0
    assert small.row("project:p1", ("image:i2", "project:p1")) == 1
    assert small.row("project:p2", ("image:i1",)) is None
    assert small.shared_mb(0) == {"m0": 100.0, "m1": 50.0}
    assert small.shared_mb(1) == {}
    assert small.overlaps_mb(0) == {0: 80.0, 1: 20.0}
    assert small.overlaps_mb(1) == {}


def test_a_guest_is_found_by_its_uuid(small):
    line = small.guest(UUID)
    assert line == GuestLine(
        host="m1",
        key="project:p1",
        row=0,
        memory_mb=512,
        pending=True,
        index=1,
        profile="image:i1",
        project="p1",
        trust_group="blue",
    )
    assert small.own_shared_mb(line) == {"m2": 30.0}
    assert small.guest("no uuid at all") is None


def test_an_image_tells_its_release_and_its_base(small):
    assert small.image(IMAGE) == ImageLine("debian", "12", BASE)
    assert small.image(BASE) is None
    assert small.image("no uuid at all") is None


def test_a_guest_that_two_cells_have_is_found_once(small):
    twice = GuestRow(uuid=UUID, host="m0"), GuestRow(uuid=UUID, host="m1")
    value = board(hosts={"m0": HOST, "m1": HOST}, guests=twice).prepared()
    assert value.guest(UUID).host == "m1"
    assert value.settled("m0") | value.settled("m1") == {UUID}


def test_two_guests_of_an_unknown_image_share_what_is_usual(small):
    images = [("project:p1", f"image:{name}") for name in "abc"]
    value = board(
        hosts={"m0": HOST},
        rows={key: {} for key in [*images, OTHER]},
        overlaps={
            **{
                (row, row): size for row, size in zip(images, (10, 90, 30), strict=True)
            },
            (OTHER, OTHER): 500.0,
        },
    )
    assert value.usual_overlap_mb == 30.0
    assert Scoreboard.empty().usual_overlap_mb == 0.0


def test_pending_guests_are_told_apart_from_settled_ones(small):
    assert small.settled("m0") == {str(uuid.UUID(int=1))}
    assert small.pending("m0") == frozenset()
    assert small.settled("m1") == frozenset()
    assert small.pending("m1") == {UUID}


def test_the_empty_board_goes_there_and_back():
    empty = Scoreboard.empty(Scope.GLOBAL)
    assert codec.decode(codec.encode(empty)).scope is Scope.GLOBAL


def test_profiles_run_from_image_over_os_to_project():
    guest = Guest(
        uuid=UUID,
        name="vm0",
        memory_mb=1024,
        image="i2",
        base_image="i1",
        os_distro="debian",
        os_version="12",
        flavor="m1.small",
        project="p1",
    )
    releases = ("os:debian 12/m1.small", "os:debian 12")
    coarse = ("os:debian/m1.small", "project:p1")
    # Guests of another release would mislead where the release is known.
    assert profile_chain(guest) == ("image:i2", "image:i1", *releases)
    assert taught_profiles(guest) == ("image:i2", "image:i1", *releases, *coarse)
    of_no_release = dataclasses.replace(guest, base_image="i2", os_version=None)
    assert profile_chain(of_no_release) == ("image:i2", *coarse)
    assert taught_profiles(of_no_release) == profile_chain(of_no_release)
    of_no_flavor = dataclasses.replace(guest, image=None, base_image=None, flavor=None)
    assert profile_chain(of_no_flavor) == ("os:debian 12",)
    assert profile_chain(Guest(uuid=UUID, name="", memory_mb=1)) == ("project:",)
