# SPDX-License-Identifier: Apache-2.0
"""Agents and schedulers against a controller: real broker, real database."""

import base64

import oslo_messaging
import pytest

from membuddies_nova.bus import tag, transport
from membuddies_nova.bus.client import BusRefused, BusUnavailable
from membuddies_nova.bus.messages import MAX_BODY_BYTES, MESSAGE_VERSION, Outcome
from membuddies_nova.db import fingerprints, schema
from membuddies_nova.db.api import Database
from membuddies_nova.facts import Cause, Wanted
from membuddies_nova.scoreboard import codec
from tests.functional.bus.configuration import answered, bus_conf
from tests.functional.controller.agents import (
    KEY,
    OTHER_KEY,
    OTHER_SECRET,
    SECRET,
    Agent,
    place,
    uuid_of,
)


@pytest.fixture
def raw(transport_url):
    """Ask with any JSON at all."""
    line = transport.transport(bus_conf(transport_url))
    rpc = oslo_messaging.get_rpc_client(line, transport.target(), timeout=30)

    def ask(method, message, key=KEY):
        if isinstance(message, dict) and key is not None:
            message = tag.tagged(method, message, key)
        return rpc.call({}, method, message=message)

    yield ask
    line.cleanup()


def stored(database):
    with database.reader() as session:
        return [one.guest for one in fingerprints.summaries(session)]


def test_what_an_agent_sends_is_in_the_database_when_it_is_answered(
    database, serve, client
):
    place(database, 1.0, h1=(1,))
    serve(database)
    agent = Agent("h1")
    agent.scan(1)
    answer = answered(lambda: client.report(agent.report()))
    assert answer.wanted == (Wanted(uuid_of(1), Cause.UNKNOWN),)
    assert client.store(agent.requests[uuid_of(1)]).outcome is Outcome.STORED
    assert stored(database) == [uuid_of(1)]


def test_a_scheduler_fetches_a_board_once(database, serve, client):
    place(database, 1.0, h1=(1,))
    serve(database)
    first = answered(lambda: client.scoreboard(None))
    board = codec.decompress(first.body)
    assert codec.version(board) == first.version
    assert codec.decode(board).hosts == ("h1",)
    assert client.scoreboard(first.version).body is None


WRONG = (
    ({"version": 99}, "version"),
    ({"version": "1"}, "version"),
    ({"guest": "instance-00000001"}, "guest"),
    ({"host": ""}, "host"),
    ({"host": "h" * 256}, "host"),
    ({"counter": -1}, "counter"),
    ({"started": 2**63}, "started"),
    ({"scanned_at": "now"}, "scanned_at"),
    ({"digest": "0" * 32}, "digest"),
    ({"body": None}, "body"),
    ({"body": "%%%%"}, "body"),
)


def test_a_wrong_message_is_answered_with_the_field_that_is_wrong(
    database, serve, client, raw, tally
):
    place(database, 1.0, h1=(1,))
    serve(database)
    answered(lambda: client.scoreboard(None))
    request = Agent("h1").scan(1)
    for changes, field in WRONG:
        answer = raw("store", {**request.to_json(), **changes})
        assert answer["outcome"] == "refused", changes
        assert f"'{field}'" in answer["reason"]
        assert "Traceback" not in answer["reason"]
        assert tally.counts()[f"refused:{field}"] > 0
    assert stored(database) == []
    assert client.store(request).outcome is Outcome.STORED


def test_a_message_cut_short_is_refused(database, serve, client, raw):
    place(database, 1.0, h1=(1,))
    serve(database)
    answered(lambda: client.scoreboard(None))
    request = Agent("h1").scan(1).to_json()
    for size in (1, 1001, len(request["body"]) - 4):
        answer = raw("store", {**request, "body": request["body"][:size]})
        assert answer["outcome"] == "refused"
    assert stored(database) == []


def test_what_is_no_message_at_all_is_refused(database, serve, client, raw):
    serve(database)
    answered(lambda: client.scoreboard(None))
    for method in ("report", "store", "scoreboard"):
        for message in (None, 1, "text", [], {}):
            assert raw(method, message)["outcome"] == "refused"


def test_a_message_of_100_mb_is_refused_without_decoding_it(
    mariadb_url, serve, client, raw, monkeypatch
):
    database = Database(mariadb_url)
    schema.upgrade(database)
    place(database, 1.0, h1=(1,))
    serve(database)
    answered(lambda: client.scoreboard(None))
    request = Agent("h1").scan(1).to_json()
    decoded = []
    decode = base64.b64decode

    def noting(text, **options):
        decoded.append(len(text))
        return decode(text, **options)

    monkeypatch.setattr(base64, "b64decode", noting)
    answer = raw("store", {**request, "body": "A" * 100 * 2**20})
    assert answer["outcome"] == "refused"
    assert "104857600 characters" in answer["reason"]
    assert all(length <= 2 * MAX_BODY_BYTES for length in decoded)

    # The controller goes on.
    assert raw("store", request)["outcome"] == "stored"
    assert decoded
    database.close()


def test_a_report_that_cannot_be_true_is_refused(database, serve, client, raw):
    serve(database)
    agent = Agent("h1")
    answered(lambda: client.report(agent.report()))
    message = agent.report().to_json()
    message["facts"]["mem_available_bytes"] = 2**60
    answer = raw("report", message)
    assert answer["outcome"] == "refused"
    assert "mem_available_bytes" in answer["reason"]


def test_a_refused_report_is_an_error_at_the_agent(database, serve, client):
    serve(database)
    agent = Agent("h" * 300)
    with pytest.raises(BusRefused, match="host"):
        answered(lambda: client.report(agent.report()))


def test_a_database_that_was_away_for_a_while_gets_what_it_missed(
    mariadb, mariadb_url, serve, client
):
    database = Database(mariadb_url)
    schema.upgrade(database)
    place(database, 1.0, h1=(1, 2))
    serve(database)
    agent = Agent("h1")
    first = agent.scan(1)
    answered(lambda: client.report(agent.report()))
    assert client.store(first).outcome is Outcome.STORED

    mariadb.stop()
    try:
        second = agent.scan(2)
        answer = client.report(agent.report())
        assert answer.outcome is Outcome.UNAVAILABLE
        assert answer.wanted == ()
        assert answer.slow_down_seconds > 0
        with pytest.raises(BusUnavailable, match="database"):
            client.store(second)
        with pytest.raises(BusUnavailable, match="database"):
            client.scoreboard(None)
    finally:
        mariadb.start()

    wanted = client.report(agent.report()).wanted
    assert wanted == (Wanted(uuid_of(2), Cause.UNKNOWN),)
    assert client.store(second).outcome is Outcome.STORED
    assert stored(database) == [uuid_of(1), uuid_of(2)]
    database.close()


def test_tables_that_are_missing_are_said_to_the_agent_as_unavailable(
    mariadb_url, serve, client
):
    database = Database(mariadb_url)
    serve(database)
    answer = answered(lambda: client.report(Agent("h1").report()))
    assert answer.outcome is Outcome.UNAVAILABLE
    assert "database" in answer.reason
    database.close()


def test_a_forged_message_is_dropped_and_counted(
    database, serve, client, raw, tally, caplog
):
    place(database, 1.0, h1=(1,))
    serve(database)
    agent = Agent("h1")
    request = agent.scan(1)
    answered(lambda: client.report(agent.report()))
    honest = tag.tagged("store", request.to_json(), KEY)
    forged = (
        {**honest, "tag": "0" * 32},
        {**honest, "counter": 99},
        {**honest, "host": "h2"},
        tag.tagged("report", request.to_json(), KEY),
    )
    for message in forged:
        answer = raw("store", message, key=None)
        assert (answer["outcome"], answer["reason"]) == (
            "refused",
            "its tag is not that of the message",
        )
    assert raw("store", request.to_json(), key=None)["outcome"] == "refused"
    assert tally.counts()["forged"] == len(forged)
    assert caplog.text.count("Dropped a forged store") == 1
    assert stored(database) == []
    assert raw("store", honest, key=None)["outcome"] == "stored"


def test_both_keys_are_believed_while_the_key_changes(
    database, serve, raw, client, key_file, keys, tally
):
    place(database, 1.0, h1=(1,))
    serve(database)
    agent = Agent("h1")
    answered(lambda: client.report(agent.report()))

    # The operator has forgotten that controllers come first ...
    early = raw("report", agent.report().to_json(), key=OTHER_KEY)
    assert early["outcome"] == "refused"
    assert OTHER_KEY.key_id.hex() in early["reason"]
    assert tally.counts()["unknown-key"] == 1

    # ... and does it: the new key first, the old one still known.
    key_file.write_text(f"{OTHER_SECRET.hex()}\n{SECRET.hex()}\n")
    assert keys.refresh()
    for key in (KEY, OTHER_KEY):
        assert raw("report", agent.report().to_json(), key=key)["outcome"] == "ok"
        request = agent.scan(1, key=key)
        answer = raw("store", request.to_json(), key=key)
        assert answer["outcome"] == "stored"

    # At the end the old one goes.
    key_file.write_text(f"{OTHER_SECRET.hex()}\n")
    assert keys.refresh()
    assert raw("report", agent.report().to_json())["outcome"] == "refused"


@pytest.mark.parametrize(
    "version", range(max(MESSAGE_VERSION - 1, 1), MESSAGE_VERSION + 2)
)
def test_an_agent_of_a_neighbour_version_is_understood(
    database, serve, raw, client, version
):
    place(database, 1.0, h1=(1,))
    serve(database)
    answered(lambda: client.scoreboard(None))
    agent = Agent("h1")
    request = agent.scan(1)
    other = {"version": version, "a_newer_key": {"of": ["any", "shape"]}}
    report = raw("report", {**agent.report().to_json(), **other})
    assert [one["guest"] for one in report["wanted"]] == [uuid_of(1)]
    assert raw("store", {**request.to_json(), **other})["outcome"] == "stored"
