# SPDX-License-Identifier: Apache-2.0
"""nova-scheduler's workers: killed, reloaded, ended, configured otherwise."""

import os
import signal
import time

from .stage import (
    BLUE_HOST,
    EMPTY_HOST,
    IMAGE,
    KIN_HOST,
    LIMIT,
    WORKERS,
    Stage,
    assert_drawn_to,
    inner_pid,
)

# It gives its own requests ten seconds to end (nova.conf of the lab).
END_SECONDS = 20

UNTRACKED = "\n[filter_scheduler]\ntrack_instance_changes = False\n"


def test_a_worker_that_takes_a_dead_ones_place_has_a_board(stage: Stage) -> None:
    _master, *workers = stage.cloud.service_processes("nova-scheduler")
    assert len(workers) == WORKERS
    os.kill(workers[0], signal.SIGKILL)
    newcomers = _new_workers(stage, workers, WORKERS - 1)
    _until_placed_by(stage, newcomers)


def test_workers_that_take_over_after_a_reload_have_a_board(stage: Stage) -> None:
    master, *workers = stage.cloud.service_processes("nova-scheduler")
    os.kill(master, signal.SIGHUP)
    newcomers = _new_workers(stage, workers, 0)
    _until_placed_by(stage, newcomers)


def test_it_ends_in_time_and_places_as_well_without_tracking_changes(
    stage: Stage,
) -> None:
    """As where a superconductor schedules for cells that do not tell it of changes."""
    begun = time.monotonic()
    stage.cloud.stop_service("nova-scheduler")
    assert time.monotonic() - begun < END_SECONDS
    stage.buddies.configure_scheduler(WORKERS, extra=LIMIT + UNTRACKED)
    stage.until_all_know(lambda board: True, "there is no board")
    booked = stage.red.start("booked", IMAGE, EMPTY_HOST)
    try:
        stage.red.wait_until_active(booked)
        stage.until_all_know(
            lambda board: board.guest(booked.id) is not None,
            "the guest is not known that was booked",
        )
        with stage.placing(stage.red) as place:
            _host, decision = place("beside")
    finally:
        stage.delete(stage.red, [booked])
    # Beside either: also a guest counts that was booked just now.
    assert decision.weights[EMPTY_HOST] > 0.0
    assert decision.weights[KIN_HOST] > 0.1
    assert decision.weights[BLUE_HOST] == 0.0


def test_the_scheduler_met_no_error_of_ours(stage: Stage) -> None:
    text = stage.log.text
    ours = [line for line in text.splitlines() if "membuddies_nova" in line]
    assert ours
    assert [line for line in ours if " ERROR " in line or 'File "' in line] == []
    assert [line for line in ours if "unexpectedly" in line] == []
    assert [line for line in ours if "not scored" in line] == []


def _new_workers(stage: Stage, old: list[int], staying: int) -> set[int]:
    """Waits until workers have others' places, and each has a board.

    :param old: the workers before
    :param staying: how many of them live on
    :returns: the new workers, as the log numbers them
    """

    def taken_over() -> set[int] | None:
        _master, *workers = stage.cloud.service_processes("nova-scheduler")
        new = set(workers) - set(old)
        if len(workers) != WORKERS or len(new) != WORKERS - staying:
            return None
        return {inner_pid(worker) for worker in new}

    new: set[int] = stage.buddies.wait(taken_over, "no new workers come")
    stage.until_all_know(lambda board: True, "there is no board")
    return new


def _until_placed_by(stage: Stage, workers: set[int]) -> None:
    """Places guests beside their kin until one of these workers has decided."""
    with stage.placing(stage.red) as place:
        for number in range(6):
            host, decision = place(f"after-{number}")
            assert_drawn_to(KIN_HOST, decision)
            assert host == KIN_HOST, decision
            if decision.worker in workers:
                return
    raise AssertionError("the new workers got no request")
