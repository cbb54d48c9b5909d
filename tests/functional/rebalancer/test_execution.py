# SPDX-License-Identifier: Apache-2.0
"""What becomes of plans, with a real database and an emulated Nova."""

import dataclasses

import pytest

from membuddies_nova.cluster import Scope
from membuddies_nova.db import inventory, plans, switches
from membuddies_nova.plan import Goal, Verdict
from membuddies_nova.planner import Limits
from membuddies_nova.rebalancer import planning
from membuddies_nova.rebalancer.execution import Executor, Rules
from membuddies_nova.rebalancer.moves import Mover, Patience
from membuddies_nova.rebalancer.policy import Caps, Mode, OnFailure, Window
from tests.functional.rebalancer import rows
from tests.functional.rebalancer.fake_cloud import Fault
from tests.functional.rebalancer.rows import Clock, move

NOW = 1_800_000_000.0
ALWAYS = (Window.parse("Mon-Sun 00:00-24:00"),)
RULES = Rules(
    mode=Mode.RECOMMEND,
    wishes=planning.Wishes(Goal.SHARE, Scope.PROJECT, Limits(min_gain_mb=1.0)),
    period_seconds=600,
    inventory_max_age_seconds=300,
    windows=ALWAYS,
    on_failure=OnFailure.CONTINUE,
    caps=Caps(per_source=2, per_destination=2, in_total=4, per_hour=100),
)


class Bench:
    """One rebalancer without its threads: the test takes the steps."""

    def __init__(self, database, emulator, nova) -> None:
        self.database = database
        self.emulator = emulator
        self.clock = Clock(NOW)
        self.rules = RULES
        self.may_start = True
        self.executor = Executor(
            database,
            rules=lambda: self.rules,
            nova=lambda: nova,
            mover=lambda: mover,
            clock=self.clock,
            may_start=lambda: self.may_start,
        )
        mover = Mover(
            database,
            nova,
            holder="one",
            clock=self.clock,
            check=self.executor.check,
            patience=Patience(record_seconds=120, settle_seconds=60),
        )

    def change(self, **rules) -> None:
        self.rules = dataclasses.replace(self.rules, **rules)

    def read_inventory(self) -> None:
        rows.store_inventory(self.database, self.emulator, self.clock.now)

    def steps(self, times: int = 1, seconds: float = 2) -> None:
        for _ in range(times):
            self.executor.step()
            self.clock.now += seconds

    def store(self, *moves, state="approved", mode="recommend") -> str:
        return rows.store_plan(
            self.database, *moves, now=self.clock.now, state=state, mode=mode
        )

    def plan(self, plan_id):
        return rows.plan_row(self.database, plan_id)

    def states(self, plan_id):
        return [record.state for record in rows.move_rows(self.database, plan_id)]

    @property
    def plans(self):
        with self.database.reader() as session:
            return plans.list_plans(session, limit=50)


@pytest.fixture
def bench(database, emulator, nova):
    return Bench(database, emulator, nova)


@pytest.fixture
def kin(bench):
    """Two guests on different hosts that hold the same pages."""
    servers = [bench.emulator.add_server(host) for host in ("c1", "c2")]
    bench.read_inventory()
    for server in servers:
        rows.store_fingerprint(bench.database, server, seed=1, now=bench.clock.now)
    return servers


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


def test_a_plan_says_what_ksm_would_save_before_anything_moves(bench, kin):
    bench.steps()

    (plan,) = bench.plans
    assert plan.saved_mb_global == pytest.approx(plan.plan.saved_mb)
    assert plan.saved_mb_global > 1


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


def test_a_new_plan_is_made_once_a_period(bench, kin):
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


def test_auto_runs_a_plan_as_it_is_made(bench, kin):
    bench.change(mode=Mode.AUTO)

    bench.steps(12)

    (plan,) = bench.plans
    assert (plan.state, plan.mode) == ("done", "auto")
    assert len(bench.emulator.posts) == 1


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


def test_the_caps_count_migrations_of_others(bench):
    server = bench.emulator.add_server("c1")
    foreign = bench.emulator.add_record(
        bench.emulator.add_server("c1"), "c3", user="somebody-else"
    )
    bench.read_inventory()
    bench.change(caps=dataclasses.replace(RULES.caps, per_source=1))
    plan_id = bench.store(move(server, "c2"))

    bench.steps(5)
    assert bench.states(plan_id) == ["planned"]
    assert "leave host c1" in bench.executor.waits_for
    foreign.status = "completed"
    bench.steps(10)

    assert bench.states(plan_id) == ["done"]


def test_the_caps_hold_back_our_own_wave(bench):
    servers = [bench.emulator.add_server("c1", held=True) for _ in range(3)]
    bench.read_inventory()
    bench.change(caps=Caps(per_source=9, per_destination=9, in_total=2, per_hour=100))
    plan_id = bench.store(*(move(server, "c2") for server in servers))

    bench.steps(6)

    assert bench.states(plan_id) == ["running", "running", "planned"]


def test_the_cap_of_an_hour_counts_what_nova_has_seen(bench):
    server = bench.emulator.add_server("c1")
    other = bench.emulator.add_server("c2")
    record = bench.emulator.add_record(other, "c3", status="completed")
    record.created = record.created.fromtimestamp(NOW - 60, record.created.tzinfo)
    bench.read_inventory()
    bench.change(caps=dataclasses.replace(RULES.caps, per_hour=1))
    plan_id = bench.store(move(server, "c2"))

    bench.steps(5)
    assert bench.states(plan_id) == ["planned"]
    assert "within the last hour" in bench.executor.waits_for

    bench.clock.now = NOW + 3541
    bench.read_inventory()
    bench.steps(10)
    assert bench.states(plan_id) == ["done"]


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


def test_a_destination_that_has_filled_up_since_is_skipped(bench, monkeypatch):
    server = bench.emulator.add_server("c1")
    bench.read_inventory()
    plan_id = bench.store(move(server, "c2"))
    for _ in range(16):
        bench.emulator.add_server("c2")
    bench.read_inventory()

    bench.steps(4)

    (record,) = rows.move_rows(bench.database, plan_id)
    assert record.state == "skipped"
    assert "placement-memory" in record.detail
    assert bench.emulator.posts == []


def test_what_moved_since_the_inventory_was_read_counts_where_it_went(bench):
    """Two guests for the last place: the second finds it taken."""
    first, second = (bench.emulator.add_server("c1") for _ in range(2))
    for _ in range(15):
        bench.emulator.add_server("c2")
    bench.read_inventory()
    plan_id = bench.store(move(first, "c2"), move(second, "c2", wave=2))

    bench.steps(14)

    assert bench.states(plan_id) == ["done", "skipped"]


def test_what_is_under_way_counts_where_it_goes(bench):
    first, second = (bench.emulator.add_server("c1", held=True) for _ in range(2))
    for _ in range(15):
        bench.emulator.add_server("c2")
    bench.read_inventory()
    plan_id = bench.store(move(first, "c2"), move(second, "c2"))

    bench.steps(4)

    assert bench.states(plan_id) == ["running", "skipped"]


def test_a_guest_that_opted_out_since_is_skipped(bench):
    server = bench.emulator.add_server("c1")
    bench.read_inventory()
    plan_id = bench.store(move(server, "c2"))
    with bench.database.writer() as session:
        hosts = inventory.hosts(session, bench.clock.now)
        guests = [
            dataclasses.replace(guest, movable=False)
            for guest in inventory.guests(session, bench.clock.now)
        ]
        inventory.replace(session, hosts, guests, bench.clock.now)

    bench.steps(4)

    (record,) = rows.move_rows(bench.database, plan_id)
    assert (record.state, record.detail.split(":")[0]) == ("skipped", "opted-out")


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
