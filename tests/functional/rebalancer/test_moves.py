# SPDX-License-Identifier: Apache-2.0
"""One move against an emulated Nova and a real database, faults included.

A ``Mover`` that is made anew stands for a process that was started again: all
that it knows is in the rows.
"""

import pytest

from membuddies_nova import exceptions
from membuddies_nova.db import plans
from membuddies_nova.rebalancer.migrations import NovaUnavailableError
from membuddies_nova.rebalancer.moves import Mover, Patience
from tests.functional.rebalancer.fake_cloud import Fault
from tests.functional.rebalancer.rows import Clock, move, only_move, store_plan

NOW = 1_800_000_000.0


class Bench:
    """A database, a Nova and movers that share them."""

    def __init__(self, database, emulator, nova) -> None:
        self.database = database
        self.emulator = emulator
        self.nova = nova
        self.clock = Clock(NOW)
        self.plan_id = ""
        self.refusal = None

    def mover(self, holder: str = "one") -> Mover:
        return Mover(
            self.database,
            self.nova,
            holder=holder,
            clock=self.clock,
            check=lambda record: self.refusal,
            patience=Patience(record_seconds=120, settle_seconds=60),
        )

    def plan(self, server, destination: str = "c2") -> None:
        self.plan_id = store_plan(self.database, move(server, destination), now=NOW)

    @property
    def record(self):
        return only_move(self.database, self.plan_id)

    def advance(self, mover, times: int = 1, begin: bool = True, abort: bool = False):
        for _ in range(times):
            if self.record.state in ("claimed", "unknown", "running"):
                mover.advance(self.record, begin=begin, abort=abort)
        return self.record


def abort_path(server, migration_id: int) -> str:
    return f"/compute/v2.1/servers/{server.uuid}/migrations/{migration_id}"


@pytest.fixture
def bench(database, emulator, nova):
    return Bench(database, emulator, nova)


def test_a_move_is_done_when_its_guest_is_active_on_the_new_host(bench):
    server = bench.emulator.add_server("c1")
    bench.plan(server)
    mover = bench.mover()

    mover.start(bench.record)
    assert bench.record.state == "unknown"
    assert bench.advance(mover).state == "running"
    record = bench.advance(mover, times=8)

    assert (record.state, record.migration_id) == ("done", 1)
    assert record.finished_at == NOW
    assert server.host == "c2"
    assert bench.emulator.posts == [server.uuid]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"host": "c3"}, "is on host c3, not on c1"),
        ({"status": "SHUTOFF"}, "is SHUTOFF, not ACTIVE"),
        ({"task_state": "rebooting"}, "busy (rebooting)"),
        ({"locked": True}, "locked"),
    ],
)
def test_a_guest_that_has_changed_since_the_plan_is_skipped(bench, changes, reason):
    server = bench.emulator.add_server("c1")
    bench.plan(server)
    for name, value in changes.items():
        setattr(server, name, value)

    bench.mover().start(bench.record)

    assert bench.record.state == "skipped"
    assert reason in bench.record.detail
    assert bench.emulator.posts == []


def test_a_guest_that_is_gone_is_skipped(bench):
    server = bench.emulator.add_server("c1")
    bench.plan(server)
    del bench.emulator.servers[server.uuid]

    bench.mover().start(bench.record)

    assert (bench.record.state, bench.record.detail) == ("skipped", "the guest is gone")


def test_a_destination_that_was_disabled_is_skipped(bench):
    server = bench.emulator.add_server("c1")
    bench.plan(server)
    bench.emulator.hosts["c2"]["status"] = "disabled"

    bench.mover().start(bench.record)

    assert bench.record.state == "skipped"
    assert "c2 is disabled" in bench.record.detail


def test_a_move_that_breaks_a_rule_by_now_is_skipped(bench):
    bench.plan(bench.emulator.add_server("c1"))
    bench.refusal = "headroom: c2 lacks 12 MB"

    bench.mover().start(bench.record)

    assert bench.record.state == "skipped"
    assert bench.record.detail == "headroom: c2 lacks 12 MB"
    assert bench.emulator.posts == []


def test_a_refusal_is_recorded_with_novas_reason(bench):
    server = bench.emulator.add_server("c1")
    server.fault = Fault(
        accepted=False,
        status=409,
        message="Cannot 'os-migrateLive' instance while it is in task_state rebooting",
    )
    bench.plan(server)

    bench.mover().start(bench.record)

    assert bench.record.state == "failed"
    assert "task_state rebooting" in bench.record.detail
    assert len(bench.emulator.posts) == 1


def test_a_400_is_recorded_with_novas_reason(bench):
    server = bench.emulator.add_server("c1")
    server.fault = Fault(
        accepted=False, status=400, message="No valid host was found. Not enough."
    )
    bench.plan(server)

    bench.mover().start(bench.record)

    assert bench.record.state == "failed"
    assert "No valid host was found. Not enough." in bench.record.detail


def test_what_the_scheduler_refuses_later_is_recorded_with_its_reason(bench):
    server = bench.emulator.add_server("c1", refusal="No valid host was found. ")
    bench.plan(server)
    mover = bench.mover()

    mover.start(bench.record)
    record = bench.advance(mover, times=3)

    assert record.state == "failed"
    assert "ended as error" in record.detail
    assert "No valid host was found." in record.detail
    assert server.host == "c1"


@pytest.mark.parametrize("status", [None, 500, 504])
def test_an_answer_lost_after_nova_accepted_starts_nothing_twice(bench, status):
    server = bench.emulator.add_server("c1", fault=Fault(accepted=True, status=status))
    bench.plan(server)
    mover = bench.mover()

    mover.start(bench.record)
    assert bench.record.state == "unknown"
    record = bench.advance(mover, times=9)

    assert record.state == "done"
    assert bench.emulator.posts == [server.uuid]
    assert len(bench.emulator.records) == 1


@pytest.mark.parametrize("status", [None, 500, 503])
def test_a_request_that_nova_never_took_is_not_repeated(bench, status):
    server = bench.emulator.add_server("c1", fault=Fault(accepted=False, status=status))
    bench.plan(server)
    mover = bench.mover()

    mover.start(bench.record)
    assert bench.advance(mover, times=3).state == "unknown"
    bench.clock.now += 121
    record = bench.advance(mover)

    assert record.state == "failed"
    assert "no record of the migration" in record.detail
    assert bench.emulator.posts == [server.uuid]


def test_a_request_that_the_conductor_never_took_ends_with_what_nova_shows(bench):
    server = bench.emulator.add_server("c1", silent=True)
    bench.plan(server)
    mover = bench.mover()
    mover.start(bench.record)

    bench.clock.now += 121
    record = bench.advance(mover)

    assert record.state == "failed"
    assert "task: migrating" in record.detail


def test_older_and_foreign_migrations_are_not_taken_for_ours(bench):
    server = bench.emulator.add_server("c1", fault=Fault(accepted=True))
    bench.emulator.add_record(server, "c2", status="completed")
    bench.plan(server)
    mover = bench.mover()
    mover.start(bench.record)
    (old, ours) = bench.emulator.records_of(server)
    foreign = bench.emulator.add_record(server, "c3", status="error", id=3)

    record = bench.advance(mover)

    assert (old.id, ours.id, foreign.id) == (1, 2, 3)
    assert (record.state, record.migration_id) == ("running", 2)


def test_a_migration_of_another_user_between_the_same_hosts_is_not_ours(bench):
    server = bench.emulator.add_server("c1", fault=Fault(accepted=False))
    bench.plan(server)
    mover = bench.mover()
    mover.start(bench.record)
    bench.emulator.add_record(server, "c2", user="somebody-else", status="completed")

    assert bench.advance(mover).state == "unknown"


@pytest.mark.parametrize("ending", ["failed", "error"])
def test_a_migration_that_fails_is_recorded_with_novas_reason(bench, ending):
    server = bench.emulator.add_server("c1", ending=ending)
    bench.plan(server)
    mover = bench.mover()
    mover.start(bench.record)

    record = bench.advance(mover, times=9)

    assert record.state == "failed"
    assert f"ended as {ending}: Live Migration failure" in record.detail


def test_a_failure_whose_reason_may_not_be_read_ends_the_move_all_the_same(bench):
    server = bench.emulator.add_server("c1", ending="failed")
    bench.plan(server)
    mover = bench.mover()
    mover.start(bench.record)
    bench.emulator.forbidden.add("os-instance-actions")

    record = bench.advance(mover, times=9)

    assert record.state == "failed"
    assert "ended as failed: its reason cannot be read" in record.detail


def test_migration_records_that_may_not_be_read_keep_a_move_from_starting(bench):
    server = bench.emulator.add_server("c1")
    bench.plan(server)
    bench.emulator.forbidden.add("os-migrations")

    with pytest.raises(NovaUnavailableError):
        bench.mover().start(bench.record)

    assert bench.record.state == "claimed"
    assert bench.emulator.posts == []


def test_a_guest_in_error_afterwards_is_named(bench):
    server = bench.emulator.add_server("c1", ending="error", status_after="ERROR")
    bench.plan(server)
    mover = bench.mover()
    mover.start(bench.record)

    record = bench.advance(mover, times=9)

    assert record.state == "failed"
    assert "the guest is ERROR on host c1" in record.detail


def test_a_completed_migration_to_elsewhere_is_a_failure(bench):
    server = bench.emulator.add_server("c1", lands_on="c3")
    bench.plan(server)
    mover = bench.mover()
    mover.start(bench.record)

    assert bench.advance(mover, times=9).state == "running"
    bench.clock.now += 61
    record = bench.advance(mover)

    assert record.state == "failed"
    assert "ACTIVE on host c3" in record.detail


def test_a_move_whose_guest_is_deleted_in_the_middle_is_a_failure(bench):
    server = bench.emulator.add_server("c1", held=True)
    bench.plan(server)
    mover = bench.mover()
    mover.start(bench.record)
    bench.advance(mover, times=3)
    bench.emulator.records.clear()
    del bench.emulator.servers[server.uuid]

    record = bench.advance(mover)

    assert (record.state, record.detail) == ("failed", "the guest is gone")


def test_a_record_that_was_archived_does_not_hide_a_finished_move(bench):
    server = bench.emulator.add_server("c1")
    bench.plan(server)
    mover = bench.mover()
    mover.start(bench.record)
    bench.advance(mover)
    bench.emulator.records.clear()
    server.host, server.task_state = "c2", None

    assert bench.advance(mover).state == "done"


def test_nova_away_in_the_middle_costs_nothing_but_time(bench):
    server = bench.emulator.add_server("c1")
    bench.plan(server)
    mover = bench.mover()
    mover.start(bench.record)
    bench.advance(mover, times=2)

    bench.emulator.away = True
    with pytest.raises(NovaUnavailableError):
        bench.advance(mover)
    bench.emulator.away = False

    assert bench.advance(mover, times=8).state == "done"


def test_nova_away_before_the_request_leaves_a_claim_that_is_begun_later(bench):
    server = bench.emulator.add_server("c1")
    bench.plan(server)
    mover = bench.mover()
    mover._nova.user()
    bench.emulator.away = True

    with pytest.raises(NovaUnavailableError):
        mover.start(bench.record)
    assert bench.record.state == "claimed"
    bench.emulator.away = False

    assert bench.advance(mover, times=9).state == "done"
    assert bench.emulator.posts == [server.uuid]


def test_rules_that_cannot_be_asked_now_leave_a_claim(bench, monkeypatch):
    server = bench.emulator.add_server("c1")
    bench.plan(server)

    def stale(record):
        raise exceptions.MembuddiesError("the inventory is 70 s old")

    mover = bench.mover()
    mover._check = stale
    with pytest.raises(exceptions.MembuddiesError):
        mover.start(bench.record)

    assert bench.record.state == "claimed"
    assert bench.emulator.posts == []


def test_two_rebalancers_cannot_start_one_move_twice(bench):
    server = bench.emulator.add_server("c1")
    bench.plan(server)
    record = bench.record

    bench.mover("one").start(record)
    bench.mover("two").start(record)

    assert bench.emulator.posts == [server.uuid]
    assert bench.record.holder == "one"


def test_a_claim_of_a_dead_process_is_begun_by_the_next(bench):
    server = bench.emulator.add_server("c1")
    bench.plan(server)
    with bench.database.writer() as session:
        plans.claim(session, bench.record.id, holder="dead", now=NOW)

    record = bench.advance(bench.mover("next"), times=9)

    assert (record.state, record.holder) == ("done", "next")
    assert bench.emulator.posts == [server.uuid]


def test_a_process_that_stalled_with_its_claim_asks_nova_nothing_any_more(bench):
    server = bench.emulator.add_server("c1")
    bench.plan(server)
    stalled = bench.mover("stalled")
    next_mover = bench.mover("next")

    def stall(record):
        bench.advance(next_mover)
        return

    stalled._check = stall
    stalled.start(bench.record)

    assert bench.emulator.posts == [server.uuid]
    assert bench.record.holder == "next"
    assert bench.advance(next_mover, times=9).state == "done"


def test_a_request_of_a_dead_process_is_found_and_followed(bench):
    server = bench.emulator.add_server("c1")
    bench.plan(server)
    bench.mover("dead").start(bench.record)

    record = bench.advance(bench.mover("next"), times=9)

    assert (record.state, record.holder) == ("done", "next")
    assert bench.emulator.posts == [server.uuid]


def test_a_running_move_of_a_dead_process_is_followed(bench):
    server = bench.emulator.add_server("c1", held=True)
    bench.plan(server)
    dead = bench.mover("dead")
    dead.start(bench.record)
    bench.advance(dead, times=3)
    server.held = False

    record = bench.advance(bench.mover("next"), times=5)

    assert (record.state, record.holder) == ("done", "next")
    assert bench.emulator.posts == [server.uuid]


def test_a_claim_whose_plan_was_cancelled_ends_without_a_request(bench):
    bench.plan(bench.emulator.add_server("c1"))
    with bench.database.writer() as session:
        plans.claim(session, bench.record.id, holder="one", now=NOW)

    record = bench.advance(bench.mover("one"), begin=False)

    assert record.state == "cancelled"
    assert bench.emulator.posts == []


def test_an_aborted_move_ends_as_cancelled_on_its_source(bench):
    server = bench.emulator.add_server("c1", held=True)
    bench.plan(server)
    mover = bench.mover()
    mover.start(bench.record)
    bench.advance(mover, times=3)

    record = bench.advance(mover, times=3, abort=True)

    assert record.state == "cancelled"
    assert bench.emulator.aborts == [1]
    assert server.host == "c1"


def test_an_aborted_move_that_nova_calls_an_error_is_no_failure(bench):
    """As Nova does since 2026.1."""
    server = bench.emulator.add_server("c1", held=True)
    bench.plan(server)
    mover = bench.mover()
    mover.start(bench.record)
    bench.advance(mover, times=3)
    bench.advance(mover, abort=True)
    bench.emulator.records[0].status = "error"
    server.status = "ERROR"

    record = bench.advance(mover, abort=True)

    assert record.state == "cancelled"
    assert record.detail.endswith("the guest is ERROR on host c1")


def test_a_move_past_the_point_of_abort_is_followed_to_its_end(bench):
    server = bench.emulator.add_server("c1")
    bench.plan(server)
    mover = bench.mover()
    mover.start(bench.record)
    bench.advance(mover, times=3)
    assert bench.emulator.records[0].status == "running"

    bench.advance(mover, abort=True)
    assert ("DELETE", abort_path(server, 1)) in bench.emulator.requests
    record = bench.advance(mover, times=3, abort=True)

    assert record.state == "done"
    assert bench.emulator.aborts == []
