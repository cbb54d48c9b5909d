# SPDX-License-Identifier: Apache-2.0
"""A lease is believed in no longer than the others respect it."""

import threading

import pytest

from membuddies_nova.rebalancer.leadership import Leadership


class Row:
    """The lease row, as far as one process sees it."""

    def __init__(self) -> None:
        self.ours = True
        self.broken = False
        self.asked = threading.Semaphore(0)
        self.released = 0

    def acquire(self) -> bool:
        self.asked.release()
        if self.broken:
            raise ConnectionError("the database is away")
        return self.ours

    def release(self) -> None:
        if self.broken:
            raise ConnectionError("the database is away")
        self.released += 1


@pytest.fixture
def row():
    return Row()


def leadership(row: Row, seconds: float) -> Leadership:
    return Leadership(row.acquire, row.release, seconds)


def test_who_gets_the_row_leads_at_once(row):
    leader = leadership(row, seconds=60)
    leader.start()

    assert leader.held
    leader.stop()
    assert not leader.held
    assert row.released == 1


def test_who_does_not_get_the_row_does_not_lead_and_releases_nothing(row):
    row.ours = False
    leader = leadership(row, seconds=60)
    leader.start()

    assert not leader.held
    leader.stop()
    assert row.released == 0


def test_the_lease_is_renewed_while_the_process_does_other_things(row):
    leader = leadership(row, seconds=2)
    leader.start()

    for _ in range(5):
        assert row.asked.acquire(timeout=10)
    assert leader.held
    leader.stop()


def test_a_lease_that_cannot_be_renewed_is_given_up_by_itself(row):
    leader = leadership(row, seconds=0.2)
    leader.start()
    row.broken = True

    for _ in range(8):
        assert row.asked.acquire(timeout=10)
    assert not leader.held
    leader.stop()
    assert row.released == 0


def test_a_lease_that_another_took_is_lost_at_the_next_renewal(row):
    leader = leadership(row, seconds=0.3)
    leader.start()
    row.ours = False

    for _ in range(4):
        assert row.asked.acquire(timeout=10)
    assert not leader.held
    leader.stop()


def test_an_error_while_releasing_does_not_keep_the_process(row):
    leader = leadership(row, seconds=60)
    leader.start()
    row.broken = True

    leader.stop()

    assert not leader.held
