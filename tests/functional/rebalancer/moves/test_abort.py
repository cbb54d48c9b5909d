# SPDX-License-Identifier: Apache-2.0
"""Moves that an operator ends."""

from membuddies_nova.db import moves
from tests.functional.rebalancer.moves.bench import NOW


def abort_path(server, migration_id: int) -> str:
    return f"/compute/v2.1/servers/{server.uuid}/migrations/{migration_id}"


def test_a_claim_whose_plan_was_cancelled_ends_without_a_request(bench):
    bench.plan(bench.emulator.add_server("c1"))
    with bench.database.writer() as session:
        moves.claim(session, bench.record.id, holder="one", now=NOW)

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
