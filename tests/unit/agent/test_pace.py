# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from membuddies_agent.pace import AIMED_CHANGE, JITTER, Pace, changed_fraction
from membuddies_agent.procfs import Process
from membuddies_nova.fingerprint.sample import Sample

SHORTEST, LONGEST = 100.0, 1000.0
A, B, C = (("abc"[pid], Process(pid, 1)) for pid in range(3))


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pace(clock):
    return Pace(SHORTEST, LONGEST, clock)


def sample(ids, shift: int = 0) -> Sample:
    return Sample.of_pages(np.array(ids, dtype=np.uint64), shift=shift)


def due_after(pace, clock, guest) -> float:
    """Seconds until a guest is due, by steps of one."""
    started = clock.seconds
    while pace.oldest_due([guest]) is None:
        clock.seconds += 1
    return clock.seconds - started


@given(st.floats(0, 1), st.floats(0.1, 1e5))
def test_an_interval_stays_between_its_limits_and_changes_step_by_step(
    changed, elapsed
):
    interval = Pace(SHORTEST, LONGEST).next_interval(elapsed, changed)
    assert SHORTEST <= interval <= LONGEST
    assert interval >= min(elapsed / 2, LONGEST)
    assert interval <= max(elapsed * 2, SHORTEST)


@given(st.floats(0, 1), st.floats(0, 1))
def test_who_changes_more_is_scanned_no_later(one, other):
    pace = Pace(SHORTEST, LONGEST)
    less, more = sorted((one, other))
    assert pace.next_interval(400.0, more) <= pace.next_interval(400.0, less)


def test_a_guest_that_changes_as_aimed_at_keeps_its_interval():
    assert Pace(SHORTEST, LONGEST).next_interval(300.0, AIMED_CHANGE) == 300.0


def test_a_quiet_guest_reaches_the_longest_interval_and_a_busy_one_the_shortest(
    pace, clock
):
    intervals = {}
    for guest, changed in ((A, 0.0), (B, 0.3)):
        pace.note(guest, None)
        for _ in range(8):
            intervals[guest] = due_after(pace, clock, guest)
            pace.note(guest, changed)
    assert intervals[A] >= LONGEST * (1 - JITTER)
    assert intervals[B] <= SHORTEST * (1 + JITTER) + 1


def test_of_all_that_are_due_the_oldest_data_come_first(pace, clock):
    for guest in (B, A):
        pace.note(guest, None)
        clock.seconds += 10
    clock.seconds += SHORTEST * (1 + JITTER)
    assert pace.oldest_due([A, B]) == B
    assert pace.oldest_due([A, B, C]) == C, "it was never scanned"


def test_a_guest_is_hurried_once(pace):
    pace.note(A, None)
    pace.note(B, None)
    assert pace.oldest_due([A, B]) is None
    pace.hurry("b")
    assert pace.oldest_due([A, B]) == B
    pace.note(B, None)
    assert pace.oldest_due([A, B]) is None


def test_intervals_are_varied_so_that_scans_drift_apart(clock):
    intervals = set()
    for _ in range(50):
        pace = Pace(SHORTEST, LONGEST, clock)
        pace.note(A, None)
        intervals.add(due_after(pace, clock, A))
    assert len(intervals) > 5
    assert min(intervals) >= SHORTEST * (1 - JITTER)
    assert max(intervals) <= SHORTEST * (1 + JITTER) + 1


def test_a_guest_that_left_is_forgotten(pace):
    pace.note(A, None)
    assert pace.oldest_due([B]) == B
    assert pace.oldest_due([A]) == A


def test_change_is_what_left_and_what_came():
    before = sample(range(1, 101))
    assert changed_fraction(before, before) == 0.0
    assert changed_fraction(before, sample(range(51, 101))) == 0.5
    assert changed_fraction(before, sample(range(1, 201))) == 0.5
    assert changed_fraction(before, sample(range(101, 201))) == 1.0
    assert changed_fraction(sample([]), sample([])) == 0.0


def test_pages_that_are_always_in_motion_are_no_change():
    still = list(range(1, 91))
    scans = [sample([*still, 1000 + number]) for number in range(4)]
    for number in range(1, 4):
        scans[number] = scans[number].with_stability(scans[number - 1])
    assert changed_fraction(scans[2], scans[3]) == 0.0


def test_samples_of_different_shifts_are_compared_at_the_coarser():
    random = np.random.default_rng(1)
    ids = random.integers(0, 2**64, 5000, dtype=np.uint64)
    assert changed_fraction(sample(ids, 2), sample(ids, 4)) == 0.0
    assert changed_fraction(sample(ids, 4), sample(ids, 2)) == 0.0
