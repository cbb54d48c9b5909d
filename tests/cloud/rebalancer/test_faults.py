# SPDX-License-Identifier: Apache-2.0
"""Lost answers, refusals and deaths: no migration is ever asked for twice."""

import threading

from .nova_proxy import Answer, Forward
from .stage import Stage


def _cut(forward: Forward) -> None:
    """Nova is asked, and the client never hears of it."""
    forward()


def test_a_migration_whose_answer_is_cut_off_is_found_and_followed(
    stage: Stage,
) -> None:
    stage.start(max_moves_per_plan=1)
    stage.proxy.on_migration = _cut
    plan = stage.new_plan("proposed", moves=1)
    stage.approve(plan)
    stage.until_moves_are(plan, "done")

    (move,) = stage.moves(plan)
    assert [answer.status for answer in stage.proxy.answers] == [202]
    (migration,) = stage.migrations(move.move.guest)
    assert migration.id == move.migration_id
    assert stage.host(move.move.guest) == move.move.destination
    assert "outcome unknown" in stage.log()


def test_a_rebalancer_killed_while_it_asks_finds_its_migration_again(
    stage: Stage,
) -> None:
    asked, killed = threading.Event(), threading.Event()

    def held(forward: Forward) -> None:
        forward()
        asked.set()
        killed.wait()

    stage.start(max_moves_per_plan=1)
    stage.proxy.on_migration = held
    plan = stage.new_plan("proposed", moves=1)
    stage.approve(plan)
    try:
        stage.until(asked.is_set, "Nova was not asked")
        stage.kill("one")
    finally:
        killed.set()
    assert stage.states(plan) == ["unknown"]
    dead = stage.moves(plan)[0].holder

    stage.start(max_moves_per_plan=1)
    stage.until_moves_are(plan, "done")

    (move,) = stage.moves(plan)
    assert move.holder != dead
    assert len(stage.proxy.answers) == 1
    (migration,) = stage.migrations(move.move.guest)
    assert migration.id == move.migration_id
    assert stage.host(move.move.guest) == move.move.destination


def test_another_rebalancer_goes_on_with_the_plan_of_one_that_died(
    stage: Stage,
) -> None:
    stage.start("one")
    stage.until(lambda: stage.leader == "one", "the first does not lead")
    stage.start("two")
    plan = stage.new_plan("proposed", moves=2)
    with stage.crawling(stage.moves(plan)[0].move.guest) as let_go:
        stage.approve(plan)
        stage.until_moves_are(plan, "running", "planned")
        stage.kill("one")
        stage.until(lambda: stage.leader == "two", "the second does not lead")
        let_go()
        stage.until_ended(plan)

    assert stage.states(plan) == ["done", "done"]
    for move in stage.moves(plan):
        assert str(move.holder).startswith("two:")
        (migration,) = stage.migrations(move.move.guest)
        assert migration.id == move.migration_id
        assert stage.host(move.move.guest) == move.move.destination


def test_what_nova_refuses_at_once_is_recorded_with_its_reason(stage: Stage) -> None:
    """Between our last look and our request, somebody else moves the guest."""
    stage.start(on_failure="continue")
    plan = stage.new_plan("proposed", moves=2)
    first, second = (record.move for record in stage.moves(plan))
    others = {first.source, first.destination}
    (elsewhere,) = set(stage.cloud.hosts) - others

    with stage.crawling(first.guest) as let_go:

        def beaten(forward: Forward) -> Answer:
            stage.nova.live_migrate_server(
                first.guest, host=elsewhere, block_migration="auto"
            )
            return forward()

        stage.proxy.on_migration = beaten
        stage.approve(plan)
        stage.until_ended(plan)
        let_go()
        stage.until(
            lambda: stage.migrations(first.guest)[-1].status == "completed",
            "the other migration does not end",
        )

    refused, skipped = stage.moves(plan)
    assert (refused.state, skipped.state) == ("failed", "skipped")
    assert refused.detail.startswith("refused by Nova: HTTP 409: Cannot ")
    assert "task_state migrating" in refused.detail
    assert "was from or to host" in skipped.detail
    assert stage.state(plan) == "failed"
    assert stage.host(first.guest) == elsewhere
    assert stage.migrations(second.guest) == []


def test_what_novas_scheduler_refuses_is_recorded_and_stops_the_plan(
    stage: Stage,
) -> None:
    """Between our last look and our request, the destination is disabled."""
    stage.start(on_failure="stop")
    plan = stage.new_plan("proposed", moves=2)
    first, second = (record.move for record in stage.moves(plan))
    (service,) = stage.nova.services(binary="nova-compute", host=first.destination)

    def disabled(forward: Forward) -> Answer:
        stage.nova.disable_service(service)
        return forward()

    stage.proxy.on_migration = disabled
    stage.approve(plan)
    try:
        stage.until_ended(plan)
    finally:
        stage.nova.enable_service(service)

    refused, skipped = stage.moves(plan)
    (migration,) = stage.migrations(first.guest)
    assert migration.status == "error"
    assert (refused.state, refused.migration_id) == ("failed", migration.id)
    assert "No valid host was found" in refused.detail
    assert skipped.state == "skipped"
    assert skipped.detail == f"the move of guest {first.guest} failed"
    assert stage.state(plan) == "failed"
    assert stage.host(first.guest) == first.source
    assert stage.migrations(second.guest) == []
