# SPDX-License-Identifier: Apache-2.0
"""How a plan that was begun goes on: waves, failures, pauses and its end."""

from membuddies_nova.db import plans, switches
from membuddies_nova.rebalancer.policy import OnFailure
from tests.functional.rebalancer import rows
from tests.functional.rebalancer.fake_cloud import Fault
from tests.functional.rebalancer.rows import move


def test_a_wave_starts_when_the_one_before_has_ended(bench):
    first = bench.emulator.add_server("c1", held=True)
    second = bench.emulator.add_server("c2")
    bench.read_inventory()
    plan_id = bench.store(move(first, "c2"), move(second, "c3", wave=2))

    bench.steps(8)
    assert bench.states(plan_id) == ["running", "planned"]
    first.held = False
    bench.steps(12)

    assert bench.states(plan_id) == ["done", "done"]
    assert bench.plan(plan_id).state == "done"


def test_moves_of_one_wave_run_together(bench):
    servers = [bench.emulator.add_server(host, held=True) for host in ("c1", "c2")]
    bench.read_inventory()
    plan_id = bench.store(move(servers[0], "c3"), move(servers[1], "c1"))

    bench.steps(5)

    assert bench.states(plan_id) == ["running", "running"]


def test_after_a_failure_only_moves_of_other_hosts_go_on(bench):
    failing = bench.emulator.add_server("c1", ending="failed")
    dependent = bench.emulator.add_server("c2")
    free = bench.emulator.add_server("c3")
    bench.emulator.add_host("c4")
    bench.read_inventory()
    plan_id = bench.store(
        move(failing, "c2"), move(dependent, "c4", wave=2), move(free, "c4", wave=2)
    )

    bench.steps(20)

    assert bench.states(plan_id) == ["failed", "skipped", "done"]
    assert bench.plan(plan_id).state == "failed"
    assert "1 done, 1 failed, 1 skipped" in bench.plan(plan_id).detail


def test_on_failure_stop_ends_the_plan(bench):
    failing = bench.emulator.add_server("c1", ending="failed")
    free = bench.emulator.add_server("c3")
    bench.emulator.add_host("c4")
    bench.read_inventory()
    bench.change(on_failure=OnFailure.STOP)
    plan_id = bench.store(move(failing, "c2"), move(free, "c4", wave=2))

    bench.steps(20)

    assert bench.states(plan_id) == ["failed", "skipped"]


def test_a_refusal_is_recorded_and_the_plan_goes_on(bench):
    refused = bench.emulator.add_server(
        "c1", refusal="No valid host was found. There are not enough hosts available."
    )
    free = bench.emulator.add_server("c3")
    bench.read_inventory()
    plan_id = bench.store(move(refused, "c2"), move(free, "c2"))

    bench.steps(15)

    first, second = rows.move_rows(bench.database, plan_id)
    assert "not enough hosts available" in first.detail
    assert (first.state, second.state) == ("failed", "done")


def test_pausing_starts_nothing_more_and_follows_what_runs(bench):
    servers = [bench.emulator.add_server("c1") for _ in range(2)]
    bench.read_inventory()
    plan_id = bench.store(move(servers[0], "c2"), move(servers[1], "c3", wave=2))
    bench.steps(3)
    with bench.database.writer() as session:
        switches.pause(session, "op", "maintenance", bench.clock.now)

    bench.steps(8)
    assert bench.states(plan_id) == ["done", "planned"]
    assert "paused" in bench.executor.waits_for
    with bench.database.writer() as session:
        switches.resume(session)
    bench.steps(10)

    assert bench.states(plan_id) == ["done", "done"]


def test_pausing_does_not_begin_an_approved_plan(bench, kin):
    plan_id = bench.store(move(kin[0], "c2"))
    with bench.database.writer() as session:
        switches.pause(session, "op", "maintenance", bench.clock.now)

    bench.steps(3)

    assert bench.plan(plan_id).state == "approved"


def test_a_cancelled_plan_starts_nothing_more(bench):
    servers = [bench.emulator.add_server("c1") for _ in range(2)]
    bench.read_inventory()
    plan_id = bench.store(move(servers[0], "c2"), move(servers[1], "c3", wave=2))
    bench.steps(3)
    with bench.database.writer() as session:
        assert plans.cancel(session, plan_id, abort=False, now=bench.clock.now)

    bench.steps(10)

    assert bench.plan(plan_id).state == "cancelled"
    assert bench.states(plan_id) == ["done", "cancelled"]
    assert bench.emulator.aborts == []


def test_cancelling_with_abort_ends_what_is_under_way(bench):
    server = bench.emulator.add_server("c1", held=True)
    bench.read_inventory()
    plan_id = bench.store(move(server, "c2"))
    bench.steps(6)
    with bench.database.writer() as session:
        assert plans.cancel(session, plan_id, abort=True, now=bench.clock.now)

    bench.steps(4)

    assert bench.states(plan_id) == ["cancelled"]
    assert bench.emulator.aborts == [1]
    assert server.host == "c1"


def test_a_process_that_may_not_start_moves_starts_none(bench):
    server = bench.emulator.add_server("c1")
    bench.read_inventory()
    plan_id = bench.store(move(server, "c2"))
    bench.may_start = False

    bench.steps(4)
    assert bench.states(plan_id) == ["planned"]
    bench.may_start = True
    bench.steps(8)

    assert bench.states(plan_id) == ["done"]


def test_nova_away_is_told_and_costs_nothing_but_time(bench):
    server = bench.emulator.add_server("c1")
    bench.read_inventory()
    plan_id = bench.store(move(server, "c2"))
    bench.emulator.away = True

    bench.steps(4)
    assert bench.executor.waits_for is not None
    bench.emulator.away = False
    bench.steps(12)

    assert bench.states(plan_id) == ["done"]


def test_an_unknown_outcome_holds_the_plan_until_it_is_known(bench):
    server = bench.emulator.add_server("c1", fault=Fault(accepted=False))
    later = bench.emulator.add_server("c3")
    bench.read_inventory()
    plan_id = bench.store(move(server, "c2"), move(later, "c2", wave=2))

    bench.steps(5)
    assert bench.states(plan_id) == ["unknown", "planned"]
    bench.clock.now += 121
    bench.read_inventory()
    bench.steps(5)

    assert bench.states(plan_id) == ["failed", "skipped"]
    assert bench.emulator.posts == [server.uuid]
