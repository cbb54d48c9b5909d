# SPDX-License-Identifier: Apache-2.0
"""Moves: every change names what it expects."""

import pytest

from membuddies_nova.db import moves, plans
from tests.functional.db.examples import move, plan


@pytest.fixture
def stored(database):
    """A proposed plan of three moves."""
    made = plan(move("g1"), move("g2"), move("g3", wave=2))
    with database.writer() as session:
        return plans.create(
            session, made, mode="recommend", state="proposed", now=100.0
        )


def test_a_first_placement_gets_no_row(database):
    with database.writer() as session:
        plan_id = plans.create(
            session,
            plan(move("new", source=None), move("g1")),
            mode="recommend",
            state="proposed",
            now=100.0,
        )
        (only,) = moves.of_plan(session, plan_id)
    assert (only.move, only.position, only.state) == (move("g1"), 1, "planned")


def test_a_move_is_claimed_once(database, stored):
    with database.writer() as session:
        first = moves.of_plan(session, stored)[0]
        assert moves.claim(session, first.id, holder="a", now=110.0)
        assert not moves.claim(session, first.id, holder="b", now=111.0)
        (found,) = moves.still_open(session)
    assert (found.id, found.state) == (first.id, "claimed")
    assert (found.holder, found.claimed_at) == ("a", 110.0)


def test_a_move_goes_on_only_for_its_holder_and_from_the_state_expected(
    database, stored
):
    with database.writer() as session:
        move_id = moves.of_plan(session, stored)[0].id
        moves.claim(session, move_id, holder="a", now=110.0)
        asked = {"expected": ("claimed",), "state": "unknown", "baseline_id": 41}
        assert not moves.progress(session, move_id, holder="b", now=111.0, **asked)
        assert moves.progress(session, move_id, holder="a", now=112.0, **asked)
        assert not moves.progress(session, move_id, holder="a", now=113.0, **asked)
        assert moves.progress(
            session,
            move_id,
            holder="a",
            expected=("unknown",),
            state="running",
            migration_id=42,
            now=114.0,
        )
        found = moves.of_plan(session, stored)[0]
    assert found.state == "running"
    assert (found.baseline_id, found.migration_id) == (41, 42)
    assert found.requested_at == 112.0


def test_a_dead_ones_move_is_taken_over_once(database, stored):
    with database.writer() as session:
        move_id = moves.of_plan(session, stored)[0].id
        assert not moves.take_over(session, move_id, from_holder="a", holder="b")
        moves.claim(session, move_id, holder="a", now=110.0)
        assert moves.take_over(session, move_id, from_holder="a", holder="b")
        assert not moves.take_over(session, move_id, from_holder="a", holder="c")
        assert not moves.finish(
            session,
            move_id,
            holder="a",
            expected=("claimed",),
            state="done",
            detail="",
            now=111.0,
        )
        assert moves.of_plan(session, stored)[0].holder == "b"


def end(session, move_id, state, now):
    moves.claim(session, move_id, holder="a", now=now)
    assert moves.finish(
        session, move_id, expected=("claimed",), state=state, detail="why", now=now
    )


def test_moves_that_ended_are_told_newest_first(database, stored):
    with database.writer() as session:
        first, second, third = moves.of_plan(session, stored)
        end(session, first.id, "done", 110.0)
        end(session, second.id, "skipped", 120.0)
        end(session, third.id, "failed", 130.0)
        ended = moves.finished(session, 120.0, 10)
        assert [one.id for one in ended] == [third.id, second.id]
        assert moves.finished(session, 0.0, 1)[0].detail == "why"
        assert moves.latest_outcomes(session, 2) == ["failed", "done"]
        assert moves.still_open(session) == []
