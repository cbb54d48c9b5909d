# SPDX-License-Identifier: Apache-2.0
"""Of a thousand equal lines one is written."""

import logging

import pytest

from membuddies_nova.scheduler import rare_log
from membuddies_nova.scheduler.rare_log import RareLog


@pytest.fixture
def clock(monkeypatch):
    """The clock in seconds, as a list of one."""
    seconds = [6000.0]
    monkeypatch.setattr(rare_log.time, "monotonic", lambda: seconds[0])
    return seconds


@pytest.fixture
def log(caplog, clock):
    caplog.set_level(logging.INFO)
    return RareLog("membuddies_nova.test")


def lines(caplog):
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("level", ["info", "warning"])
def test_a_topic_has_one_line_a_minute(log, caplog, clock, level):
    for second in range(120):
        clock[0] = 6000.0 + second
        getattr(log, level)("topic", "line %d", second)
    assert lines(caplog) == ["line 0", "line 60"]
    assert {record.levelname for record in caplog.records} == {level.upper()}


def test_another_topic_has_its_own_line(log, caplog):
    log.warning("one", "first")
    log.warning("other", "second")
    assert lines(caplog) == ["first", "second"]


def test_a_state_that_lasts_is_told_once_and_again_after_its_end(log, caplog, clock):
    for hour in range(10):
        clock[0] = 6000.0 + 3600 * hour
        log.begins("board", "away in hour %d", hour)
    log.ended("board")
    log.ended("board")
    log.begins("board", "away again")
    assert lines(caplog) == ["away in hour 0", "away again"]


def test_a_state_that_comes_and_goes_is_told_once_a_minute(log, caplog):
    for _ in range(1000):
        log.begins("board", "away")
        log.ended("board")
    assert lines(caplog) == ["away"]
