# SPDX-License-Identifier: Apache-2.0
"""What scans together tell of how fast a guest's pages change."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from membuddies_agent.change_rate import ChangeRate
from membuddies_nova.facts import MAX_CHANGES_PER_HOUR

parts = st.floats(0, 1)
gaps = st.floats(1.0, 86_400.0)
scans = st.lists(st.tuples(parts, gaps), min_size=1, max_size=20)
DIGITS = 6e-3
"""How far a number may be from its three digits."""


def rate_after(seen):
    rate = ChangeRate()
    for changed, elapsed in seen:
        rate = rate.after(changed, elapsed)
    return rate.per_hour


def test_nothing_is_known_before_two_scans_were_compared():
    assert ChangeRate().per_hour is None


@pytest.mark.parametrize(
    ("changed", "seconds", "expected"),
    [
        (0.0, 3600, 0.0),
        (0.05, 3600, 0.0513),
        (0.05, 300, 0.616),
        (1 - math.exp(-2), 1800, 4.0),
    ],
)
def test_one_gap_tells_the_rate_of_a_poisson_process(changed, seconds, expected):
    assert rate_after([(changed, seconds)]) == expected


@given(st.floats(0, 4), st.lists(st.floats(60, 3600), min_size=1, max_size=20))
def test_a_steady_guest_s_rate_is_found_whatever_the_gaps(per_hour, elapsed):
    seen = [(1 - math.exp(-per_hour * gap / 3600), gap) for gap in elapsed]
    assert rate_after(seen) == pytest.approx(per_hour, rel=DIGITS, abs=1e-9)


@given(scans)
def test_a_rate_lies_between_what_single_scans_say(seen):
    single = [rate_after([scan]) for scan in seen]
    slack = 1 + DIGITS
    assert min(single) / slack <= rate_after(seen) <= max(single) * slack


@given(scans, st.tuples(parts, gaps), parts)
def test_more_change_never_gives_a_lower_rate(before, scan, other):
    changed, elapsed = scan
    less, more = sorted((changed, other))
    assert rate_after([*before, (less, elapsed)]) <= rate_after(
        [*before, (more, elapsed)]
    )


@given(scans, parts, st.floats(-1e9, 0))
def test_a_clock_that_does_not_advance_tells_nothing(seen, changed, elapsed):
    assert rate_after([*seen, (changed, elapsed)]) == rate_after(seen)
    assert rate_after([(changed, elapsed)]) is None


@given(parts, gaps, st.integers(1, 10))
def test_each_scan_halves_the_weight_of_those_before(changed, gap, quiet):
    first = rate_after([(changed, gap)])
    later = rate_after([(changed, gap), *[(0.0, gap)] * quiet])
    assert later == pytest.approx(first / (2 ** (quiet + 1) - 1), rel=2 * DIGITS)


@given(st.lists(st.tuples(parts, st.floats(0, 1e9)), max_size=20))
def test_whatever_scans_say_a_report_can_carry_the_rate(seen):
    rate = rate_after(seen)
    assert rate is None or 0 <= rate <= MAX_CHANGES_PER_HOUR


def test_a_guest_that_changed_wholly_has_a_rate_all_the_same():
    assert rate_after([(1.0, 300)]) == rate_after([(0.99, 300)]) == 55.3


@given(parts, gaps)
def test_a_rate_has_three_digits(changed, gap):
    rate = rate_after([(changed, gap)])
    assert float(f"{rate:.2e}") == rate
