# SPDX-License-Identifier: Apache-2.0
"""The endpoint: whatever happens, the asker gets an answer that it can read."""

import pytest

from membuddies_nova.bus import tag
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
from membuddies_nova.fingerprint import codec, seal

KEY = seal.SealKey(bytes(range(32)))
QUESTIONS = {
    "report": Report(
        host="h1",
        number=Number(1, 1),
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


class Keys:
    """The key file of a controller."""

    ring = seal.KeyRing(KEY)


class Failing:
    """Admission and board that fail in a given way."""

    def __init__(self, error):
        self.error = error

    def report(self, _report, _proof, _now):
        raise self.error

    def store(self, _request, _proof, _now):
        raise self.error

    def current(self, _version, _now):
        raise self.error


def answer(method, error, message=None):
    failing = Failing(error)
    tally = Tally()
    endpoint = Endpoint(Keys(), failing, failing, tally)
    if message is None:
        message = tag.tagged(method, QUESTIONS[method].to_json(), KEY)
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
    endpoint = Endpoint(Keys(), Failing(None), Failing(None), Tally())
    found = getattr(endpoint, method)({}, message={}, newer="argument")
    assert found["outcome"] == "refused"


@pytest.mark.parametrize("method", ["report", "store"])
def test_a_message_that_was_changed_is_dropped_and_counted_as_forged(method):
    message = tag.tagged(method, QUESTIONS[method].to_json(), KEY)
    found, counts = answer(method, None, {**message, "host": "h2"})
    assert found.outcome is Outcome.REFUSED
    assert "tag" in found.reason
    assert counts == {"forged": 1}


@pytest.mark.parametrize("method", ["report", "store"])
def test_a_message_under_a_key_that_is_not_known_here_is_counted_apart(method):
    other = seal.SealKey(b"o" * 32)
    message = tag.tagged(method, QUESTIONS[method].to_json(), other)
    found, counts = answer(method, None, message)
    assert found.outcome is Outcome.REFUSED
    assert other.key_id.hex() in found.reason
    assert counts == {"unknown-key": 1}


@pytest.mark.parametrize("method", ["report", "store"])
def test_a_message_without_a_tag_is_refused(method):
    found, counts = answer(method, None, QUESTIONS[method].to_json())
    assert found.outcome is Outcome.REFUSED
    assert counts == {"refused:key_id": 1}


def test_of_many_forged_messages_one_line_is_logged(caplog):
    tally = Tally()
    endpoint = Endpoint(Keys(), Failing(None), Failing(None), tally)
    message = tag.tagged("report", QUESTIONS["report"].to_json(), KEY)
    for number in range(100):
        endpoint.report({}, message={**message, "started": number + 2})
    assert tally.counts() == {"forged": 100}
    assert caplog.text.count("forged") == 1
