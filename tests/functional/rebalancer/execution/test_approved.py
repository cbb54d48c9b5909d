# SPDX-License-Identifier: Apache-2.0
"""When an approved plan begins, and when it expires instead."""

from membuddies_nova.rebalancer.policy import Mode
from tests.functional.rebalancer.execution.bench import NOW
from tests.functional.rebalancer.rows import move


def test_a_plan_that_nobody_approves_expires_after_an_hour(bench, kin):
    bench.steps()
    (plan,) = bench.plans

    bench.clock.now = NOW + 3601
    bench.steps()

    assert bench.plan(plan.id).state == "expired"


def test_an_approved_plan_waits_for_an_inventory_of_the_last_minute(bench, kin):
    plan_id = bench.store(move(kin[0], "c2"))
    bench.clock.now += 61

    bench.steps(3)
    assert bench.plan(plan_id).state == "approved"
    assert "s old" in bench.executor.waits_for

    bench.read_inventory()
    bench.steps(10)
    assert bench.plan(plan_id).state == "done"
    assert bench.executor.waits_for is None


def test_an_approved_plan_whose_guest_has_moved_since_expires(bench, kin):
    plan_id = bench.store(move(kin[0], "c2"))
    kin[0].host = "c3"
    bench.read_inventory()

    bench.steps(3)

    assert bench.plan(plan_id).state == "expired"
    assert "is on host c3 now" in bench.plan(plan_id).detail
    assert bench.emulator.posts == []


def test_an_approved_plan_waits_until_the_inventory_shows_the_last_move(bench):
    first, second = (bench.emulator.add_server("c1") for _ in range(2))
    bench.read_inventory()
    bench.store(move(first, "c2"))
    bench.clock.now += 1
    second_plan = bench.store(move(second, "c2"))

    bench.steps(12)
    assert bench.states(second_plan) == ["planned"]
    assert "before the last move ended" in bench.executor.waits_for
    bench.read_inventory()
    bench.steps(10)

    assert bench.states(second_plan) == ["done"]


def test_an_approved_plan_does_not_begin_in_observe(bench, kin):
    plan_id = bench.store(move(kin[0], "c2"))
    bench.change(mode=Mode.OBSERVE)

    bench.steps(3)

    assert bench.plan(plan_id).state == "approved"
    assert "the mode is observe" in bench.executor.waits_for
