# SPDX-License-Identifier: Apache-2.0
"""What is looked at before Nova is asked, and what keeps a move from its start."""

import pytest

from membuddies_nova import exceptions
from membuddies_nova.rebalancer.migrations import NovaUnavailableError
from tests.functional.rebalancer.moves.bench import NOW


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


def test_migration_records_that_may_not_be_read_keep_a_move_from_starting(bench):
    server = bench.emulator.add_server("c1")
    bench.plan(server)
    bench.emulator.forbidden.add("os-migrations")

    with pytest.raises(NovaUnavailableError):
        bench.mover().start(bench.record)

    assert bench.record.state == "claimed"
    assert bench.emulator.posts == []


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
