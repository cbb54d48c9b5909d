# SPDX-License-Identifier: Apache-2.0
"""How a migration ends, and what becomes of its guest."""

import pytest

from membuddies_nova.rebalancer.migrations import NovaUnavailableError


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
