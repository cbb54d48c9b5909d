# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from membuddies_agent.budget import Budget


class Scans:
    """A thread's clocks, which stand still but for what a test says."""

    def __init__(self, core_share: float, bytes_per_second: float) -> None:
        self.clock = 50.0
        self.worked = 7.0
        self.waited: list[float] = []
        self.budget = Budget(
            core_share,
            bytes_per_second,
            self._wait,
            clock=lambda: self.clock,
            worked=lambda: self.worked,
        )
        self.budget.begin()

    def _wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.clock += seconds

    def work(self, seconds: float, read_bytes: int = 0) -> None:
        self.clock += seconds
        self.worked += seconds
        self.budget.pay(read_bytes)


def test_work_is_followed_by_rest_to_its_share_of_a_core():
    scans = Scans(core_share=0.1, bytes_per_second=1e12)
    scans.work(0.01)
    assert scans.waited == [pytest.approx(0.09)]


def test_reading_is_held_to_its_bytes_a_second():
    scans = Scans(core_share=1.0, bytes_per_second=1000.0)
    scans.work(0.5, read_bytes=2000)
    assert scans.waited == [pytest.approx(1.5)]


def test_time_that_the_thread_did_not_get_counts_as_rest():
    scans = Scans(core_share=0.5, bytes_per_second=1e12)
    scans.clock += 10.0
    scans.work(1.0)
    assert scans.waited == []


def test_rest_is_not_saved_up():
    scans = Scans(core_share=0.5, bytes_per_second=1e12)
    scans.clock += 1000.0
    scans.work(1.0)
    scans.work(1.0)
    assert scans.waited == [pytest.approx(1.0)]


pieces = st.lists(
    st.tuples(st.floats(0, 0.1), st.floats(0, 1), st.integers(0, 2**24)), min_size=1
)


@given(pieces, st.floats(0.01, 1.0), st.floats(2**20, 2**30))
def test_both_limits_hold_over_any_work(pieces, share, rate):
    scans = Scans(share, rate)
    for work_seconds, idle_seconds, read_bytes in pieces:
        scans.clock += idle_seconds
        scans.work(work_seconds, read_bytes)
    wall = scans.clock - 50.0
    assert scans.worked - 7.0 <= share * wall + 1e-6
    assert sum(read for _, _, read in pieces) <= rate * wall + 1e-3
