# SPDX-License-Identifier: Apache-2.0
"""What each mode does with a plan."""

import pytest

from membuddies_nova.db import plans
from membuddies_nova.plan import Verdict
from membuddies_nova.rebalancer.policy import Mode, Window
from tests.functional.rebalancer.execution.bench import NOW
from tests.functional.rebalancer.rows import move


def test_observe_stores_a_plan_that_cannot_be_approved(bench, kin):
    bench.change(mode=Mode.OBSERVE)

    bench.steps()

    (plan,) = bench.plans
    assert (plan.state, plan.mode) == ("observed", "observe")
    assert plan.plan.verdict is Verdict.MOVE
    with bench.database.writer() as session:
        assert not plans.approve(session, plan.id, by="op", now=bench.clock.now)
    bench.steps(3)
    assert bench.emulator.requests == []


def test_recommend_waits_for_an_approval_then_moves(bench, kin):
    bench.steps(3)
    (plan,) = bench.plans
    assert (plan.state, bench.emulator.posts) == ("proposed", [])

    with bench.database.writer() as session:
        assert plans.approve(session, plan.id, by="op", now=bench.clock.now)
    bench.steps(12)

    assert bench.plan(plan.id).state == "done"
    assert bench.states(plan.id) == ["done"]
    assert len({server.host for server in kin}) == 1


def test_auto_runs_a_plan_as_it_is_made(bench, kin):
    bench.change(mode=Mode.AUTO)

    bench.steps(12)

    (plan,) = bench.plans
    assert (plan.state, plan.mode) == ("done", "auto")
    assert len(bench.emulator.posts) == 1


def test_a_plan_that_auto_runs_ends_the_older_proposal_of_the_same_moves(bench, kin):
    bench.steps()
    (proposal,) = bench.plans
    assert proposal.state == "proposed"

    bench.change(mode=Mode.AUTO)
    bench.clock.now = NOW + 601
    bench.read_inventory()
    bench.steps(2)

    running, older = bench.plans
    assert (running.mode, older.id, older.state) == ("auto", proposal.id, "expired")
    assert older.detail == f"plan {running.id} makes the same moves"
    assert bench.states(older.id) == ["cancelled"]


@pytest.mark.parametrize("windows", [(), (Window.parse("Mon 00:00-00:01"),)])
def test_auto_only_proposes_outside_of_its_windows(bench, kin, windows):
    bench.change(mode=Mode.AUTO, windows=windows)

    bench.steps(5)

    (plan,) = bench.plans
    assert (plan.state, plan.mode) == ("proposed", "recommend")
    assert bench.emulator.posts == []


def test_auto_only_proposes_after_two_failures_in_a_row(bench, kin):
    first = bench.emulator.add_server("c1", ending="failed")
    second = bench.emulator.add_server("c2", ending="failed")
    bench.read_inventory()
    failing = bench.store(move(first, "c3"), move(second, "c3"))
    bench.steps(12)
    assert bench.states(failing) == ["failed", "failed"]

    bench.change(mode=Mode.AUTO)
    bench.clock.now = NOW + 601
    bench.read_inventory()
    bench.steps(3)

    assert bench.plans[0].state == "proposed"


def test_a_success_after_failures_gives_auto_back(bench, kin):
    servers = [bench.emulator.add_server("c1", ending="failed") for _ in range(2)]
    good = bench.emulator.add_server("c1")
    bench.read_inventory()
    bench.store(*(move(server, "c3") for server in servers))
    bench.steps(12)
    bench.read_inventory()
    bench.store(move(good, "c3"))
    bench.steps(12)

    bench.change(mode=Mode.AUTO)
    bench.clock.now += 601
    bench.read_inventory()
    bench.steps(3)

    assert bench.plans[0].mode == "auto"


def test_auto_only_proposes_while_a_guest_is_in_error(bench, kin):
    bench.emulator.add_server("c3", status="ERROR")
    bench.read_inventory()
    bench.change(mode=Mode.AUTO)

    bench.steps(3)

    assert bench.plans[0].state == "proposed"


def test_an_automatic_plan_stops_when_its_window_ends(bench):
    servers = [bench.emulator.add_server("c1") for _ in range(2)]
    bench.read_inventory()
    plan_id = bench.store(
        move(servers[0], "c2"), move(servers[1], "c3", wave=2), mode="auto"
    )
    bench.change(mode=Mode.AUTO)
    bench.steps(3)

    bench.change(windows=())
    bench.steps(8)

    assert bench.plan(plan_id).state == "cancelled"
    assert bench.states(plan_id) == ["done", "cancelled"]


def test_observe_lets_a_plan_that_runs_end_without_further_moves(bench):
    servers = [bench.emulator.add_server("c1") for _ in range(2)]
    bench.read_inventory()
    plan_id = bench.store(move(servers[0], "c2"), move(servers[1], "c3", wave=2))
    bench.steps(3)

    bench.change(mode=Mode.OBSERVE)
    bench.steps(8)

    assert bench.plan(plan_id).state == "cancelled"
    assert bench.states(plan_id) == ["done", "cancelled"]
