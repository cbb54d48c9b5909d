# SPDX-License-Identifier: Apache-2.0
"""When the rebalancer may act by itself, and how much at once."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from membuddies_nova import exceptions
from membuddies_nova.rebalancer.policy import (
    Caps,
    Traffic,
    Window,
    automatic_refusal,
)

MONDAY = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
ALWAYS = (Window.parse("Mon-Sun 00:00-24:00"),)


def at(days: int, hours: int, minutes: int = 0) -> datetime.datetime:
    return MONDAY + datetime.timedelta(days=days, hours=hours, minutes=minutes)


def test_a_window_within_a_day_holds_its_start_but_not_its_end():
    window = Window.parse("Mon 08:00-10:30")

    assert window.contains(at(0, 8))
    assert window.contains(at(0, 10, 29))
    assert not window.contains(at(0, 10, 30))
    assert not window.contains(at(0, 7, 59))
    assert not window.contains(at(1, 9))


def test_a_window_over_midnight_reaches_into_the_day_after_its_last():
    window = Window.parse("Mon-Fri 22:00-05:00")

    assert window.contains(at(4, 23))
    assert window.contains(at(5, 4, 59))
    assert not window.contains(at(5, 5))
    assert not window.contains(at(5, 23))
    assert not window.contains(at(0, 4))


def test_days_may_wrap_around_the_week():
    window = Window.parse("Sat-Mon 00:00-24:00")

    assert [window.contains(at(day, 12)) for day in range(7)] == [
        True,
        False,
        False,
        False,
        False,
        True,
        True,
    ]


@given(
    st.integers(0, 6),
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.integers(0, 7 * 1440 - 1),
)
def test_a_window_and_its_complement_split_the_week(day, start, end, moment):
    names = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    text = f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
    if start == end:
        with pytest.raises(exceptions.ConfigurationError):
            Window.parse(f"{names[day]} {text}")
        return
    every_day = Window.parse(f"Mon-Sun {text}")
    rest = Window.parse(
        f"Mon-Sun {end // 60:02}:{end % 60:02}-{start // 60:02}:{start % 60:02}"
    )
    when = MONDAY + datetime.timedelta(minutes=moment)

    assert every_day.contains(when) != rest.contains(when)
    one_day = Window.parse(f"{names[day]} {text}")
    assert every_day.contains(when) or not one_day.contains(when)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "always",
        "22:00-05:00",
        "Mon 22:00",
        "Mon 25:00-26:00",
        "Mon 10:60-11:00",
        "Mon 24:00-05:00",
        "Mon 05:00-05:00",
        "Mon,Tue 05:00-06:00",
        "Lun 05:00-06:00",
    ],
)
def test_what_is_no_window_is_refused_with_an_example(text):
    with pytest.raises(exceptions.ConfigurationError, match="Mon-Fri 22:00-05:00"):
        Window.parse(text)


def refusal(**changes: object) -> str | None:
    arguments: dict = {
        "now": MONDAY.timestamp(),
        "windows": ALWAYS,
        "latest_outcomes": ("done", "failed"),
        "guests_in_error": (),
    }
    return automatic_refusal(**(arguments | changes))


def test_auto_acts_in_its_window():
    assert refusal() is None


def test_auto_never_acts_without_a_window():
    assert "no time window" in refusal(windows=())


def test_auto_does_not_act_outside_of_its_windows():
    assert "outside" in refusal(windows=(Window.parse("Tue 00:00-24:00"),))


@pytest.mark.parametrize(
    ("outcomes", "acts"),
    [
        ((), True),
        (("failed",), True),
        (("failed", "failed"), False),
        (("failed", "failed", "done"), False),
        (("failed", "done", "failed"), True),
        (("done", "failed", "failed"), True),
    ],
)
def test_two_failures_in_a_row_end_auto_until_a_success(outcomes, acts):
    assert (refusal(latest_outcomes=outcomes) is None) == acts


def test_a_guest_in_error_ends_auto():
    assert "guest g1 is in ERROR" in refusal(guests_in_error={"g1"})


CAPS = Caps(per_source=1, per_destination=2, in_total=3, per_hour=4)


def traffic(*pairs: str) -> list[Traffic]:
    return [Traffic(f"g{number}", *pair) for number, pair in enumerate(pairs)]


@pytest.mark.parametrize(
    ("under_way", "started", "reason"),
    [
        ([], 0, None),
        (traffic("cd"), 3, None),
        (traffic("ac"), 0, "leave host a"),
        (traffic("cb", "db"), 0, "enter host b"),
        (traffic("cd", "dc", "ef"), 0, "3 migrations are under way"),
        ([], 4, "within the last hour"),
        (traffic("ba"), 0, None),
    ],
)
def test_each_cap_holds_a_move_back(under_way, started, reason):
    found = CAPS.refusal("a", "b", under_way, started)

    assert found is None if reason is None else reason in found


def test_a_migration_that_both_we_and_nova_name_counts_once():
    same = [Traffic("g1", "c", "d"), Traffic("g1", "c", None)]
    caps = Caps(per_source=1, per_destination=1, in_total=2, per_hour=9)

    assert caps.refusal("a", "b", same, 0) is None


def test_a_migration_whose_destination_is_not_known_yet_counts_in_total():
    caps = Caps(per_source=1, per_destination=1, in_total=1, per_hour=9)

    assert "under way" in caps.refusal("a", "b", [Traffic("g1", "c", None)], 0)
