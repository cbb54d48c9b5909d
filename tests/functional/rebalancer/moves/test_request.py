# SPDX-License-Identifier: Apache-2.0
"""What Nova answers to the request, and which migration is then ours."""

import pytest

from tests.functional.rebalancer.fake_cloud import Fault


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
