# SPDX-License-Identifier: Apache-2.0
"""The paper's own example: its rule to the MB, and a better plan."""

import pytest

from membuddies_nova.planner import Limits, plan
from tests.unit.planner.published import published_snapshot


@pytest.fixture(scope="module")
def snapshot():
    return published_snapshot()


def test_the_published_rule_gives_the_published_plan(snapshot):
    planned = plan(snapshot, strategy="original")
    assert {name: use.mb for name, use in planned.before.items()} == {
        "M0": 1536,
        "M1": 2357,
        "M2": 857,
    }
    assert sorted(use.mb for use in planned.after.values()) == [1331, 1536, 1556]
    assert (planned.after_mb, planned.saved_mb) == (4423, 327)
    assert {(move.guest, move.destination) for move in planned.moves} == {
        ("VM0", "M1"),
        ("VM1", "M1"),
        ("VM2", "M0"),
        ("VM3", "M2"),
        ("VM4", "M0"),
    }
    assert {move.wave for move in planned.moves} == {0}


def test_the_union_saves_the_same_with_one_move(snapshot):
    planned = plan(snapshot, limits=Limits(max_moves=1))
    assert planned.saved_mb == 327
    assert [(m.guest, m.destination) for m in planned.moves] == [("VM2", "M2")]


@pytest.mark.parametrize("max_moves", [2, 3, 5, None])
def test_the_union_saves_most_with_two_moves_however_many_it_may_make(
    snapshot, max_moves
):
    planned = plan(snapshot, limits=Limits(max_moves=max_moves))
    assert (planned.before_mb, planned.after_mb) == (4750, 4235)
    assert planned.saved_mb == 515
    assert len(planned.moves) == 2
    assert sum(move.gain_mb for move in planned.moves) == 515
