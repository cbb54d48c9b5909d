# SPDX-License-Identifier: Apache-2.0
"""What the demo reads in nova-scheduler's log, and when a placement is right."""

import pytest

from tests.cloud.demo.placing import Placement
from tests.cloud.demo.scheduling import Choice, Score, parse
from tests.cloud.lab.errors import LabError

GUEST = "4debbc63-f215-452b-879d-4fae1765de29"
OTHER = "522b91bc-0e02-490d-96fa-aa18b711aede"


def log(request: str, guest: str, host: str, sharing: str = "20.0 * 0.25") -> list[str]:
    """Lines as Nova 2026.1 writes them."""
    manager = f"2026-01-01 00:00:00.0 7 DEBUG nova.scheduler.manager [None {request} u]"
    weights = f"2026-01-01 00:00:00.0 7 DEBUG nova.weights [None {request} u]"
    end = "get_weighed_objects /nova/weights.py:165"
    return [
        f"{manager} Starting to schedule for instances: ['{guest}'] select_dest",
        f"{weights} RAMWeigher: raw weights {{('a', 'a'): 1, ('b', 'n'): 2}} {end}",
        f"{weights} RAMWeigher: score (multiplier * weight) "
        f"{{('a', 'a'): '1.0 * 0.5', ('b', 'n'): '1.0 * 1.0'}} {end}",
        f"{weights} PCIWeigher: score (multiplier * weight) "
        f"{{('a', 'a'): '1.0 * 0', ('b', 'n'): '1.0 * 0'}} {end}",
        f"{weights} SharingWeigher: score (multiplier * weight) "
        f"{{('a', 'a'): '{sharing}', ('b', 'n'): '20.0 * 0.0'}} {end}",
        f"{manager} Weighed [WeighedHost [host: (a, a) ram: 1MB disk: 7MB io_ops: 0 "
        f"instances: 4, allocation_candidates: 1, weight: 5.5], WeighedHost [host: "
        f"(b, n) ram: 2MB disk: 7MB io_ops: 0 instances: 2, allocation_candidates: 1, "
        f"weight: 1.0]] _get_sorted_hosts /nova/manager.py:1",
        f"{manager} [instance: {guest}] Selected host: ({host}, n) ram: 1MB",
    ]


def test_a_request_is_told_from_others_in_between() -> None:
    mine = log("req-1a", GUEST, "a")
    others = log("req-2b", OTHER, "b", sharing="20.0 * 0.9")
    mixed = [line for pair in zip(mine, others, strict=True) for line in pair]
    made = parse(mixed, GUEST)
    assert made.host == "a"
    assert made.scores["SharingWeigher"]["a"] == Score(20.0, 0.25)
    assert made.sums == {"a": 5.5, "b": 1.0}


def test_weighers_that_made_no_difference_are_left_out() -> None:
    made = parse(log("req-1a", GUEST, "a"), GUEST)
    assert made.deciding == ("RAMWeigher", "SharingWeigher")


def test_our_weigher_is_shown_even_at_multiplier_0() -> None:
    lines = [
        line.replace("20.0 *", "0.0 *") for line in log("req-1a", GUEST, "b", "0.0 * 0")
    ]
    made = parse(lines, GUEST)
    assert made.sharing_multipliers == {0.0}
    assert "SharingWeigher" in made.deciding


@pytest.mark.parametrize("lost", range(7))
def test_a_log_without_what_is_needed_is_refused(lost: int) -> None:
    lines = log("req-1a", GUEST, "a")
    needed = lost not in (1, 2, 3)
    del lines[lost]
    if needed:
        with pytest.raises(LabError, match="nova-scheduler's log"):
            parse(lines, GUEST)
    else:
        assert parse(lines, GUEST).host == "a"


@pytest.mark.parametrize(
    ("aware", "unaware", "is_right"),
    [("a", "b", True), ("b", "a", False), ("a", "a", False), ("b", "b", False)],
)
def test_a_placement_is_right_if_only_our_weigher_chose_the_best_host(
    aware: str, unaware: str, is_right: bool
) -> None:
    placement = Placement(
        Choice(aware, {}, {}), Choice(unaware, {}, {}), {"a": 9, "b": 2, "c": 3}
    )
    assert placement.best_host == "a"
    assert placement.is_right is is_right
