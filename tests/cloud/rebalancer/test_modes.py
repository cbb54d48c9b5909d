# SPDX-License-Identifier: Apache-2.0
"""When plans run: approved, within a window, while nothing is paused."""

from .stage import Stage


def test_a_proposed_plan_runs_when_it_is_approved_and_not_before(stage: Stage) -> None:
    stage.start()
    plan = stage.new_plan("proposed", moves=2)
    stage.new_plan("proposed", moves=2, after=plan)
    assert stage.states(plan) == ["planned", "planned"]
    assert stage.all_migrations == []

    stage.approve(plan)
    stage.until_ended(plan)

    shown = stage.buddies.json("plan", "show", plan.id)
    assert (shown["state"], shown["approved_by"]) == ("done", "root")
    for move in shown["moves"]:
        assert stage.host(move["guest"]) == move["to"]
        (migration,) = stage.migrations(move["guest"])
        assert (move["state"], move["migration_id"]) == ("done", migration.id)
        assert migration.status == "completed"
    for pair in stage.pairs:
        assert len({stage.host(guest.id) for guest in pair.members}) == 1


def test_an_observed_plan_cannot_be_approved(stage: Stage) -> None:
    stage.start(mode="observe")
    plan = stage.new_plan("observed", moves=2)

    refused = stage.buddies.run("plan", "approve", plan.id, check=False)

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert "observe" in refused.stderr
    stage.new_plan("observed", moves=2, after=plan)
    assert stage.state(plan) == "observed"
    assert stage.all_migrations == []


def test_auto_acts_by_itself_within_a_window_only(stage: Stage) -> None:
    stage.start(mode="auto", max_moves_per_plan=1)
    plan = stage.new_plan("proposed", moves=1)
    stage.new_plan("proposed", moves=1, after=plan)
    assert stage.all_migrations == []

    stage.reload(mode="auto", max_moves_per_plan=1, auto_windows="Mon-Sun 00:00-24:00")
    done = stage.new_plan("done", moves=1)

    (move,) = stage.moves(done)
    assert done.mode == "auto"
    assert done.approved_by is None
    (migration,) = stage.migrations(move.move.guest)
    assert migration.id == move.migration_id
    assert stage.host(move.move.guest) == move.move.destination


def test_nothing_starts_while_moves_are_paused(stage: Stage) -> None:
    stage.start(max_moves_per_plan=1)
    plan = stage.new_plan("proposed", moves=1)
    stage.buddies.run("pause", "--reason", "maintenance")
    stage.approve(plan)
    stage.until(
        lambda: "paused" in (stage.beat().get("waits_for") or ""),
        "the rebalancer does not say that it is paused",
    )
    assert stage.buddies.json("status")["pause_reason"] == "maintenance"
    assert stage.states(plan) == ["planned"]
    assert stage.all_migrations == []

    stage.buddies.run("resume")
    stage.until_moves_are(plan, "done")
