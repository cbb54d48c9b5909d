# SPDX-License-Identifier: Apache-2.0
"""When the demo has to fail: one test for each promise that may break."""

import dataclasses

import pytest

from tests.cloud.demo.verdict import Verdict

AS_PROMISED = Verdict(
    before_mb={"one": 400.0, "two": 600.0},
    after_mb={"one": 300.0, "two": 500.0},
    predicted_saved_mb=190.0,
    migrations=3,
    failed_migrations=0,
    plan_state="done",
    placement_right=True,
    seconds=200.0,
)


def complaints(**changed: object) -> tuple[str, ...]:
    return dataclasses.replace(AS_PROMISED, **changed).complaints  # type: ignore[arg-type]


def test_what_is_as_promised_gives_no_complaint() -> None:
    assert AS_PROMISED.complaints == ()


def test_the_report_has_the_facts_under_their_fixed_names() -> None:
    report = AS_PROMISED.report()
    assert report["before_mb"] == 1000.0
    assert report["after_mb"] == 800.0
    assert report["measured_saved_mb"] == 200.0
    assert report["predicted_saved_mb"] == 190.0
    assert report["error_points"] == 1.0
    assert report["migrations"] == 3
    assert report["placement_right"] is True
    assert report["seconds"] == 200.0


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"placement_right": False}, "nova-scheduler"),
        ({"failed_migrations": 1}, "1 live migrations failed"),
        ({"plan_state": "failed"}, "ended as failed"),
        ({"migrations": 0}, "no guest was migrated"),
        ({"predicted_saved_mb": 239.9}, None),
        ({"predicted_saved_mb": 240.1}, "over 4"),
        ({"predicted_saved_mb": 159.9}, "over 4"),
        # An error of under 4 points, yet over 20 % of the 100 MB that were saved.
        (
            {"after_mb": {"one": 350.0, "two": 550.0}, "predicted_saved_mb": 121.0},
            "more than 20%",
        ),
        (
            {"after_mb": {"one": 350.0, "two": 551.0}, "predicted_saved_mb": 99.0},
            "less than 10%",
        ),
        (
            {"after_mb": {"one": 420.0, "two": 600.0}, "predicted_saved_mb": -20.0},
            "less than 10%",
        ),
    ],
)
def test_each_broken_promise_is_named(
    changed: dict[str, object], complaint: str | None
) -> None:
    found = complaints(**changed)
    if complaint is None:
        assert found == ()
    else:
        assert any(complaint in sentence for sentence in found)


def test_a_failed_migration_is_enough_to_fail() -> None:
    assert len(complaints(failed_migrations=1)) == 1


def test_complaints_are_in_the_report() -> None:
    wrong = dataclasses.replace(AS_PROMISED, placement_right=False)
    assert wrong.report()["complaints"] == list(wrong.complaints)
