# SPDX-License-Identifier: Apache-2.0
"""Guests that do not trust each other, told apart by uuid alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from membuddies_nova.cluster import KsmState
from membuddies_nova.scoreboard.tenancy import Isolation, Tenancy
from tests.unit.scoreboard.boards import GuestRow, board

RED, BLUE = "project:red", "project:blue"


def tenancy(*guests):
    """Of (uuid, host, key)."""
    index = {uuid: at for at, (uuid, _, _) in enumerate(guests)}
    projects = [key and key.removeprefix("project:") for _, _, key in guests]
    hosts = [host for _, host, _ in guests]
    return Tenancy(index, hosts, projects, [None] * len(guests))


def meets_no_stranger(value, host, instances=(), told=None, *, closed=True):
    isolation = Isolation(value, uuid="me", key=RED, unknown_is_foreign=closed)
    return isolation.is_among_kin(host, set(instances), (told or {}).get)


def test_an_empty_host_holds_no_stranger():
    assert meets_no_stranger(tenancy(), "m0")


def test_guests_of_the_same_key_are_kin_wherever_nova_sees_them():
    value = tenancy(("a", "m0", RED), ("b", "m1", RED))
    assert meets_no_stranger(value, "m0", ["a", "b"])
    assert not meets_no_stranger(value, "m0", ["a", "c"])


def test_a_guest_of_another_key_is_a_stranger_by_either_word():
    value = tenancy(("a", "m0", BLUE))
    assert not meets_no_stranger(value, "m0")
    assert not meets_no_stranger(value, "m1", ["a"])
    assert meets_no_stranger(value, "m1")


def test_a_guest_is_no_stranger_to_itself():
    value = tenancy(("me", "m0", BLUE))
    assert meets_no_stranger(value, "m0", ["me"])
    assert not meets_no_stranger(tenancy(("me", "m0", BLUE), ("b", "m0", BLUE)), "m0")


def test_what_the_board_does_not_know_others_may_tell():
    value = tenancy(("a", "m0", RED))
    assert meets_no_stranger(value, "m0", ["a", "new"], {"new": RED})
    assert not meets_no_stranger(value, "m0", ["a", "new"], {"new": BLUE}, closed=False)


@pytest.mark.parametrize("closed", [True, False])
def test_a_guest_of_unknown_key_is_foreign_only_if_failing_closed(closed):
    known_without_key = tenancy(("a", "m0", None))
    assert meets_no_stranger(known_without_key, "m0", closed=closed) is not closed
    assert meets_no_stranger(tenancy(), "m0", ["new"], closed=closed) is not closed


def test_it_places_those_whom_it_knows_there_and_nobody_else():
    value = tenancy(("a", "m0", RED), ("b", "m0", BLUE), ("c", "m1", RED))
    assert value.places("m0", ())
    # Asked twice: the second time it may remember.
    for _ in range(2):
        assert value.places("m0", ("a", "b"))
        assert not value.places("m0", ("a", "c"))
        assert not value.places("m1", ("a", "b"))
        assert not value.places("elsewhere", ("a",))


def test_what_it_remembers_of_a_host_holds_for_those_guests_only():
    value = tenancy(("a", "m0", RED), ("b", "m0", RED))
    assert value.places("m0", ("a", "b"))
    assert value.places("m0", ("b",))
    assert not value.places("m0", ("a", "new"))
    assert value.places("m0", ("".join("a"), "b"))


@given(
    guests=st.dictionaries(
        st.sampled_from("abc"),
        st.tuples(st.sampled_from(["m0", None]), st.sampled_from([RED, BLUE])),
    ),
    instances=st.lists(st.sampled_from("abcd"), unique=True),
)
def test_who_holds_only_kin_is_among_kin(guests, instances):
    value = tenancy(*((uuid, host, key) for uuid, (host, key) in guests.items()))
    isolation = Isolation(value, uuid="me", key=RED, unknown_is_foreign=True)
    if isolation.holds_only_kin("m0", tuple(instances)):
        assert isolation.is_among_kin("m0", set(instances), {}.get)


@pytest.mark.parametrize(
    ("reserved_for", "its_group", "may"),
    [
        (None, None, True),
        (None, "blue", True),
        ("blue", "blue", True),
        ("blue", None, False),
        ("blue", "red", False),
        ("blue and red", "blue", False),
    ],
)
def test_a_host_that_is_reserved_takes_only_its_trust_group(
    reserved_for, its_group, may
):
    isolation = Isolation(
        tenancy(), uuid="me", key=RED, trust_group=its_group, unknown_is_foreign=True
    )
    assert isolation.may_use(reserved_for) is may


uuids = st.sampled_from("abcdef")
keys = st.sampled_from([RED, BLUE, None])


@given(
    guests=st.dictionaries(uuids, st.tuples(st.sampled_from(["m0", None]), keys)),
    instances=st.sets(st.sampled_from("abcdefg")),
    closed=st.booleans(),
)
def test_the_short_way_and_the_long_way_agree(guests, instances, closed):
    value = tenancy(*((uuid, host, key) for uuid, (host, key) in guests.items()))
    there = instances | {uuid for uuid, (host, _) in guests.items() if host == "m0"}
    found = [guests.get(uuid, (None, None))[1] for uuid in there]
    expected = BLUE not in found and not (closed and None in found)
    assert meets_no_stranger(value, "m0", instances, closed=closed) is expected


def test_the_board_knows_guests_by_trust_group_then_by_project():
    names = [f"{n}1111111-1111-4111-8111-111111111111" for n in "abcd"]
    value = board(
        hosts={"m0": (KsmState.MERGING, 0)},
        guests=(
            GuestRow(uuid=names[0], host="m0", project="p1", group="blue"),
            GuestRow(uuid=names[1], host="m0", project="p2"),
            GuestRow(uuid=names[2], project="p2"),
            # From a controller that does not tell projects.
            GuestRow(uuid=names[3]),
        ),
    ).tenancy
    assert [value.key_of(name) for name in names] == [
        "group:blue",
        "project:p2",
        "project:p2",
        None,
    ]
    assert value.present("m0") == {names[0], names[1]}
    assert value.keys_on("m0") == {"group:blue", "project:p2"}
    assert value.kin("project:p2") == {names[1], names[2]}
    assert value.keys_on("elsewhere") == value.present("elsewhere") == frozenset()
