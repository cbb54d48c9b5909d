# SPDX-License-Identifier: Apache-2.0
"""The endpoint: whatever happens, the asker gets an answer that it can read."""

import pytest

from membuddies_nova.bus.messages import (
    Outcome,
    Report,
    ReportAnswer,
    ScoreboardAnswer,
    ScoreboardRequest,
    StoreAnswer,
    StoreRequest,
)
from membuddies_nova.controller.endpoint import Endpoint
from membuddies_nova.controller.tally import Tally
from membuddies_nova.db.api import DatabaseUnavailableError
from membuddies_nova.exceptions import MessageError
from membuddies_nova.facts import HostFacts, Number
from membuddies_nova.fingerprint import codec

QUESTIONS = {
    "report": Report(
        host="h1",
        started=1,
        guests=(),
        facts=HostFacts(mem_total_bytes=2, mem_available_bytes=1),
        sent_at=1.0,
    ),
    "store": StoreRequest(
        host="h1",
        guest="6f0c2f3e-0000-4000-8000-000000000001",
        number=Number(1, 1),
        digest=codec.digest(b""),
        scanned_at=1.0,
        body=b"",
    ),
    "scoreboard": ScoreboardRequest(host="h1", board_version=None),
}
ANSWERS = {"report": ReportAnswer, "store": StoreAnswer, "scoreboard": ScoreboardAnswer}


class Failing:
    """Admission and board that fail in a given way."""

    def __init__(self, error):
        self.error = error

    def report(self, _report, _now):
        raise self.error

    def store(self, _request, _now):
        raise self.error

    def current(self, _version, _now):
        raise self.error


def answer(method, error, message=None):
    failing = Failing(error)
    tally = Tally()
    endpoint = Endpoint(failing, failing, tally)
    message = QUESTIONS[method].to_json() if message is None else message
    found = getattr(endpoint, method)({}, message=message)
    return ANSWERS[method].from_json(found), tally.counts()


@pytest.mark.parametrize("method", QUESTIONS)
def test_a_refusal_names_the_field_and_is_counted_by_it(method):
    found, counts = answer(method, MessageError("body", "is damaged"))
    assert found.outcome is Outcome.REFUSED
    assert "'body': is damaged" in found.reason
    assert counts == {"refused:body": 1}


@pytest.mark.parametrize("method", QUESTIONS)
def test_a_database_that_is_away_is_said_so(method):
    found, counts = answer(method, DatabaseUnavailableError("mysql://db", "gone"))
    assert found.outcome is Outcome.UNAVAILABLE
    assert "database" in found.reason
    assert counts == {"database": 1}


def test_agents_are_slowed_down_while_the_database_is_away():
    found, _ = answer("report", DatabaseUnavailableError("mysql://db", "gone"))
    assert found.slow_down_seconds > 60


@pytest.mark.parametrize("method", QUESTIONS)
def test_what_nobody_foresaw_is_answered_without_a_traceback(method, caplog):
    found, counts = answer(method, RuntimeError("line one\nline two"))
    assert found.outcome is Outcome.UNAVAILABLE
    assert "RuntimeError" in found.reason
    assert "line" not in found.reason
    assert counts == {"failed": 1}
    assert "RuntimeError" in caplog.text


@pytest.mark.parametrize("method", QUESTIONS)
def test_arguments_of_newer_askers_are_ignored(method):
    endpoint = Endpoint(Failing(None), Failing(None), Tally())
    found = getattr(endpoint, method)({}, message={}, newer="argument")
    assert found["outcome"] == "refused"
