# SPDX-License-Identifier: Apache-2.0
"""Several processes at one move: it never starts twice."""

from membuddies_nova.db import moves
from tests.functional.rebalancer.moves.bench import NOW


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
        moves.claim(session, bench.record.id, holder="dead", now=NOW)

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
