# SPDX-License-Identifier: Apache-2.0
"""When a move fails, the moves that do not need it are as safe as before."""

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.model.sharing import SharingModel
from membuddies_nova.plan import Goal
from membuddies_nova.planner import Limits, plan
from membuddies_nova.planner.dependence import needs
from membuddies_nova.planner.draft import Draft
from membuddies_nova.planner.rules import RULES
from tests.unit.model.clusters import snapshot_of_pages
from tests.unit.planner.cases import CLOUDS
from tests.unit.planner.checker import problems

WORK = 1000


def cluster(pages, homes, memory_mb):
    return snapshot_of_pages(
        pages,
        hosts=[Host(name=name, memory_mb=size) for name, size in memory_mb.items()],
        guests=[
            Guest(uuid=name, name=name, memory_mb=1, host=host)
            for name, host in homes.items()
        ],
    )


def test_a_guest_that_waits_elsewhere_and_one_that_needs_its_room_need_its_move():
    red, blue = range(256), range(500, 756)
    snapshot = cluster(
        {"red1": red, "blue1": blue, "red2": red, "blue2": blue},
        {"red1": "m0", "blue1": "m0", "red2": "m1", "blue2": "m1"},
        {"m0": 2, "m1": 2, "m2": 1},
    )
    planned = plan(snapshot)
    assert [move.needs for move in planned.moves] == [(), (0,), (0, 1)]


def test_a_move_that_only_shares_hosts_with_an_earlier_one_does_not_need_it():
    kin = range(256)
    snapshot = cluster(
        {"kin1": kin, "kin2": kin, "a": range(200), "b": range(190)},
        {"kin1": "m0", "kin2": "m0", "a": "m1", "b": "m2"},
        {"m0": 16, "m1": 16, "m2": 16},
    )
    planned = plan(snapshot)
    assert [(m.guest, m.wave) for m in planned.moves] == [("a", 1), ("b", 2)]
    assert [move.needs for move in planned.moves] == [(), ()]


def test_a_guest_that_follows_another_needs_it():
    """Alone on the third host it would share nothing."""
    kin, other = range(200), range(1000, 1200)
    snapshot = cluster(
        {"a": [*kin, *other], "b": [*kin], "x": [*other]},
        {"a": "m0", "b": "m1", "x": "m2"},
        {"m0": 1, "m1": 1, "m2": 3},
    )
    planned = plan(snapshot)
    assert [(m.guest, m.destination) for m in planned.moves] == [
        ("a", "m2"),
        ("b", "m2"),
    ]
    assert [move.needs for move in planned.moves] == [(), (0,)]


def test_a_guest_that_follows_one_from_its_own_host_needs_it():
    """Alone it would leave its kin behind; the kin is drawn to a third guest."""
    kin, other = range(200), range(1000, 1400)
    snapshot = cluster(
        {"a": [*kin, *other], "b": kin, "c": other},
        {"a": "m0", "b": "m0", "c": "m1"},
        {"m0": 2, "m1": 8},
    )
    planned = plan(snapshot)
    assert [(m.guest, m.destination) for m in planned.moves] == [
        ("a", "m1"),
        ("b", "m1"),
    ]
    assert [move.needs for move in planned.moves] == [(), (0,)]


def test_a_guest_that_only_waited_on_the_source_keeps_nobody_there():
    """x has gone on before a leaves, so a needs no more than z to gain."""
    kin, little = range(200), range(1000, 1100)
    snapshot = cluster(
        {"a": [*kin, *little], "x": kin, "y": range(1100, 1150), "z": little},
        {"a": "m1", "x": "m0", "y": "m4", "z": "m2"},
        {f"m{number}": 8 for number in range(5)},
    )
    start = Draft(snapshot, SharingModel(snapshot), Limits(), RULES)
    draft = start.fork()
    for guest, host in (("x", "m1"), ("x", "m3"), ("y", "m2"), ("a", "m2")):
        moved = snapshot.guests_by_uuid[guest], snapshot.hosts_by_name[host]
        assert draft.try_move(*moved) is None
    assert needs(start, draft.plan("union", Goal.SHARE, "").moves)[-1] == ()


@settings(max_examples=60)
@given(CLOUDS, st.integers(0, 9))
def test_the_moves_that_do_not_need_a_failed_one_break_no_rule(cloud, failed):
    snapshot, limits = cloud
    planned = plan(snapshot, limits=limits, evaluations=WORK)
    lost = {failed % len(planned.moves)} if planned.moves else set()
    for at, move in enumerate(planned.moves):
        assert all(needed < at for needed in move.needs)
        if lost & set(move.needs):
            lost.add(at)
    rest = tuple(move for at, move in enumerate(planned.moves) if at not in lost)
    found = problems(snapshot, dataclasses.replace(planned, moves=rest), limits)
    assert {each.split(":")[0] for each in found}.isdisjoint(RULES.names)
    assert not any(each.startswith("source: ") for each in found)
