# SPDX-License-Identifier: Apache-2.0
"""What keeps moves from starting, and what ends those under way."""

from .stage import Stage


def test_a_migration_of_somebody_else_counts_against_the_caps(stage: Stage) -> None:
    stage.start(max_moves_per_plan=1, max_moves_in_total=1)
    plan = stage.new_plan("proposed", moves=1)
    (move,) = (record.move for record in stage.moves(plan))
    foreign = next(
        guest.id
        for pair in stage.pairs
        for guest in pair.members
        if move.guest not in {member.id for member in pair.members}
    )
    free = next(host for host in stage.cloud.hosts if host != stage.host(foreign))
    with stage.crawling(foreign) as let_go:
        stage.nova.live_migrate_server(foreign, host=free, block_migration="auto")
        stage.until(
            lambda: [each.status for each in stage.migrations(foreign)] == ["running"],
            "the other migration does not run",
        )
        stage.approve(plan)
        stage.until(
            lambda: (
                "1 migrations are under way (cap 1)"
                in (stage.beat().get("waits_for") or "")
            ),
            "the rebalancer does not say that it waits",
        )
        assert stage.states(plan) == ["planned"]
        let_go()
        stage.until_moves_are(plan, "done")

    (theirs,) = stage.migrations(foreign)
    (ours,) = stage.migrations(move.guest)
    assert theirs.status == ours.status == "completed"
    assert ours.created_at >= theirs.updated_at


def test_a_cancelled_plan_starts_nothing_more_and_follows_what_runs(
    stage: Stage,
) -> None:
    stage.start()
    plan = stage.new_plan("proposed", moves=2)
    first, second = (record.move for record in stage.moves(plan))
    with stage.crawling(first.guest) as let_go:
        stage.approve(plan)
        stage.until_moves_are(plan, "running", "planned")
        stage.buddies.run("plan", "cancel", plan.id)
        assert stage.states(plan) == ["running", "cancelled"]
        let_go()
        stage.until_moves_are(plan, "done", "cancelled")

    assert stage.state(plan) == "cancelled"
    assert stage.host(first.guest) == first.destination
    assert stage.migrations(second.guest) == []


def test_an_aborted_migration_leaves_its_guest_running_where_it_was(
    stage: Stage,
) -> None:
    """Nova 34 calls that guest's state ERROR all the same, and an operator puts it
    right (see `membuddies plan cancel --help`)."""
    stage.start(max_moves_per_plan=1)
    plan = stage.new_plan("proposed", moves=1)
    (move,) = (record.move for record in stage.moves(plan))
    nova = stage.nova
    with stage.crawling(move.guest):
        stage.approve(plan)
        stage.until_moves_are(plan, "running")
        stage.buddies.run("plan", "cancel", "--abort", plan.id)
        stage.until_moves_are(plan, "cancelled")
        stage.until(
            lambda: nova.get_server(move.guest).status == "ERROR",
            "the guest is not in ERROR: is this Nova better than 34.0.0?",
        )
        nova.reset_server_state(move.guest, "active")

    (migration,) = stage.migrations(move.guest)
    assert migration.status == "error"
    assert stage.host(move.guest) == move.source
    assert move.guest in stage.cloud.guest_pids(str(move.source))
    assert stage.state(plan) == "cancelled"


def test_guests_that_may_not_move_stay_and_the_rule_is_named(stage: Stage) -> None:
    (opted_out, locked), (paused, free) = (
        [member.id for member in pair.members] for pair in stage.pairs
    )
    nova = stage.nova
    stage.start()
    moved = stage.new_plan("proposed", moves=2)
    try:
        nova.set_server_metadata(opted_out, **{"membuddies:movable": "false"})
        nova.lock_server(locked)
        nova.pause_server(paused)
        nova.lock_server(free)
        stage.until(lambda: len(_held(stage)) == 4, "the inventory shows it not yet")
        planned = stage.buddies.json("plan", "--explain")
        assert {
            each["guest"]: each["stopped_by"] for each in planned["explanations"]
        } == {
            opted_out: "opted-out",
            locked: "locked",
            paused: "not-active",
            free: "locked",
        }

        stays = stage.new_plan("observed", moves=0, after=moved)
        nova.unlock_server(free)
        plan = stage.new_plan("proposed", moves=1, after=stays)
        assert [move.guest for move in plan.plan.moves] == [free]
    finally:
        nova.delete_server_metadata(opted_out, ["membuddies:movable"])
        nova.unlock_server(locked)
        nova.unpause_server(paused)
        nova.unlock_server(free)
    stage.until(lambda: not _held(stage), "the inventory shows it still")


def _held(stage: Stage) -> set[str]:
    return {
        uuid
        for uuid, guest in stage.inventory_guests().items()
        if not guest.movable or guest.locked or guest.status != "ACTIVE"
    }
