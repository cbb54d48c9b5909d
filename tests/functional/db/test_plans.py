# SPDX-License-Identifier: Apache-2.0
"""Plans: every change names what it expects."""

import pytest

from membuddies_nova.db import moves, plans
from tests.functional.db.examples import move, plan


def create(session, *moves, state="proposed", now=100.0, **more):
    return plans.create(
        session, plan(*moves), mode="recommend", state=state, now=now, **more
    )


@pytest.fixture
def stored(database):
    """A proposed plan of three moves."""
    with database.writer() as session:
        return create(
            session, move("g1"), move("g2"), move("g3", wave=2), expires_at=200.0
        )


def states(session, plan_id):
    return [one.state for one in moves.of_plan(session, plan_id)]


def test_a_plan_comes_back_as_it_was_made(database):
    made = plan(move("g1"), move("new", source=None), move("g2", wave=2))
    with database.writer() as session:
        plan_id = plans.create(
            session,
            made,
            mode="observe",
            state="observed",
            now=100.0,
            saved_mb_global=7.25,
        )
    with database.reader() as session:
        found = plans.get(session, plan_id)
        assert found.plan == made
        assert (found.mode, found.state) == ("observe", "observed")
        assert (found.created_at, found.expires_at) == (100.0, None)
        assert found.ended_at == 100.0
        assert found.saved_mb_global == 7.25
        assert plans.get(session, "unknown") is None


def test_plans_are_listed_newest_first_and_found_by_state_oldest_first(database):
    with database.writer() as session:
        first, second, third = (create(session, now=now) for now in (1.0, 2.0, 3.0))
        plans.set_state(session, second, expected=("proposed",), state="done", now=4.0)
        newest = [one.id for one in plans.list_plans(session, 2)]
        proposed = [one.id for one in plans.in_states(session, ("proposed",))]
    assert newest == [third, second]
    assert proposed == [first, third]


def test_a_proposed_plan_is_approved_once(database, stored):
    with database.writer() as session:
        assert plans.approve(session, stored, by="ada", now=150.0)
        assert not plans.approve(session, stored, by="bob", now=150.0)
        found = plans.get(session, stored)
    assert (found.state, found.approved_by) == ("approved", "ada")


def test_an_expired_plan_is_not_approved(database, stored):
    with database.writer() as session:
        assert not plans.approve(session, stored, by="ada", now=200.0)
        assert plans.get(session, stored).state == "proposed"


@pytest.mark.parametrize("state", ["observed", "running", "cancelled"])
def test_only_a_proposed_plan_is_approved(database, state):
    with database.writer() as session:
        plan_id = create(session, state=state)
        assert not plans.approve(session, plan_id, by="ada", now=101.0)


def test_a_state_is_set_only_from_those_expected(database, stored):
    with database.writer() as session:
        assert not plans.set_state(
            session, stored, expected=("approved",), state="running", now=101.0
        )
        assert plans.set_state(
            session, stored, expected=("proposed",), state="running", now=101.0
        )
        found = plans.get(session, stored)
    assert (found.state, found.ended_at) == ("running", None)


def test_a_cancelled_plan_leaves_begun_moves_to_their_holder(database, stored):
    with database.writer() as session:
        first = moves.of_plan(session, stored)[0]
        moves.claim(session, first.id, holder="a", now=110.0)
        assert plans.cancel(session, stored, abort=False, now=120.0)
        assert not plans.cancel(session, stored, abort=False, now=121.0)
        found = plans.get(session, stored)
        assert (found.state, found.abort, found.ended_at) == ("cancelled", False, 120.0)
        assert states(session, stored) == ["claimed", "cancelled", "cancelled"]


def test_an_abort_may_follow_a_cancel(database, stored):
    with database.writer() as session:
        assert plans.cancel(session, stored, abort=False, now=120.0)
        assert plans.cancel(session, stored, abort=True, now=130.0)
        assert plans.get(session, stored).abort
        assert not plans.cancel(session, stored, abort=True, now=140.0)


def test_a_plan_that_has_ended_is_not_cancelled(database):
    with database.writer() as session:
        for state in ("observed", "done", "failed", "expired"):
            plan_id = create(session, state=state)
            assert not plans.cancel(session, plan_id, abort=True, now=120.0)
            assert plans.get(session, plan_id).state == state
