# SPDX-License-Identifier: Apache-2.0
"""When a plan is made, and as what it is kept."""

import pytest

from membuddies_nova.db import plans, switches
from membuddies_nova.plan import Verdict
from membuddies_nova.rebalancer.execution import PROPOSAL_SECONDS
from membuddies_nova.rebalancer.policy import Mode
from tests.functional.rebalancer import rows
from tests.functional.rebalancer.execution.bench import NOW


def test_a_plan_says_what_ksm_would_save_before_anything_moves(bench, kin):
    bench.steps()

    (plan,) = bench.plans
    assert plan.saved_mb_global == pytest.approx(plan.plan.saved_mb)
    assert plan.saved_mb_global > 1


def test_a_new_plan_is_made_once_a_period(bench, kin):
    bench.change(mode=Mode.OBSERVE)
    bench.steps(3)
    assert len(bench.plans) == 1

    bench.clock.now = NOW + 601
    bench.read_inventory()
    bench.steps(3)

    assert len(bench.plans) == 2


def test_no_plan_is_made_from_an_old_inventory(bench, kin):
    bench.clock.now += 301

    bench.steps(3)

    assert bench.plans == []
    assert "the inventory is" in bench.executor.waits_for


def test_no_plan_is_made_without_any_inventory(bench):
    bench.steps()

    assert bench.plans == []
    assert "missing" in bench.executor.waits_for


def test_a_plan_to_stay_is_stored_but_never_proposed(bench):
    bench.emulator.add_server("c1")
    bench.read_inventory()

    bench.steps()

    (plan,) = bench.plans
    assert (plan.state, plan.plan.verdict) == ("observed", Verdict.STAY)


def test_a_proposal_that_moves_alike_takes_the_place_of_the_older(bench, kin):
    bench.steps()
    (older,) = bench.plans
    assert older.state == "proposed"

    bench.clock.now = NOW + 601
    bench.read_inventory()
    rows.store_fingerprint(bench.database, kin[0], seed=1, now=bench.clock.now)
    bench.steps(3)

    (newer,) = bench.plans
    assert (newer.id, newer.state) == (older.id, "proposed")
    assert newer.created_at == NOW + 601
    assert newer.expires_at == NOW + 601 + PROPOSAL_SECONDS
    assert bench.states(newer.id) == ["planned"]


def test_a_proposal_that_moves_others_stands_beside_the_older(bench, kin):
    bench.steps()
    (older,) = bench.plans

    kin[0].host = "c3"
    bench.clock.now = NOW + 601
    bench.read_inventory()
    bench.steps()

    newer, same = bench.plans
    assert same == older
    assert not newer.plan.moves_alike(older.plan)


def test_what_an_operator_has_approved_is_no_proposal_any_more(bench, kin):
    """Paused, so that it waits; nothing takes its place, and no other is made."""
    bench.steps()
    (plan,) = bench.plans
    with bench.database.writer() as session:
        assert plans.approve(session, plan.id, by="op", now=bench.clock.now)
        switches.pause(session, "op", "maintenance", bench.clock.now)

    bench.clock.now = NOW + 601
    bench.read_inventory()
    bench.steps(3)

    assert bench.plan(plan.id).created_at == NOW
    assert [each.state for each in bench.plans] == ["approved"]
