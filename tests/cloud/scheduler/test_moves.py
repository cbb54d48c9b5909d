# SPDX-License-Identifier: Apache-2.0
"""Guests that Nova places again: without a host named, they come back to their kin."""

from tests.cloud.lab.guests import Guest

from .stage import EMPTY_HOST, KIN_HOST, Stage, assert_drawn_to


def test_a_live_migration_without_a_host_ends_beside_the_best_kin(stage: Stage) -> None:
    away = stage.red.live_migrate(stage.mover, EMPTY_HOST)
    assert (away.status, away.destination) == ("completed", EMPTY_HOST)
    _until_it_is_on(stage, stage.mover, EMPTY_HOST)

    back = stage.red.live_migrate(stage.mover, None)

    assert (back.status, back.destination) == ("completed", KIN_HOST)
    decision = stage.log.decision(stage.mover)
    # Nova leaves out the host that it is on.
    assert EMPTY_HOST not in decision.weights
    assert_drawn_to(KIN_HOST, decision)
    _until_it_is_on(stage, stage.mover, KIN_HOST)


def test_an_unshelved_guest_comes_back_beside_its_kin(stage: Stage) -> None:
    compute = stage.cloud.connect("red").compute
    compute.shelve_server(stage.mover.id)
    stage.buddies.wait(
        lambda: stage.red.is_settled(stage.mover, "SHELVED_OFFLOADED"),
        "the guest is not shelved",
    )
    _until_it_is_on(stage, stage.mover, None)

    compute.unshelve_server(stage.mover.id)

    stage.red.wait_until_active(stage.mover)
    assert stage.red.host(stage.mover) == KIN_HOST
    assert_drawn_to(KIN_HOST, stage.log.decision(stage.mover))


def _until_it_is_on(stage: Stage, guest: Guest, host: str | None) -> None:
    """Waits until the scheduler knows a guest, and its memory, on a host."""
    stage.until_all_know(
        lambda board: (
            (line := board.guest(guest.id)) is not None
            and line.host == host
            and bool(board.own_shared_mb(line))
        ),
        f"guest {guest.name} is not known on {host}",
    )
