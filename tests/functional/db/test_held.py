# SPDX-License-Identifier: Apache-2.0
"""Fingerprints that wait for Nova's word."""

from membuddies_nova.db import fingerprints, held
from membuddies_nova.db.held import Held, HoldOutcome
from membuddies_nova.facts import Cause, Number, Wanted
from tests.functional.db.examples import kept, place, reported, store


def hold(session, uuid="g1", at="h2", number=(1, 1), digest="d", now=0.0):
    return held.hold(
        session, uuid, at, Number(*number), digest, digest.encode(), now, now
    )


def test_a_guest_that_arrives_is_stored_once_nova_names_its_host(database):
    place(database, g1="h1")
    with database.writer() as session:
        assert hold(session) is HoldOutcome.HELD
    place(database, 10.0, g1="h2")
    with database.writer() as session:
        settled = held.settle(session, 10.0, 60.0)
    assert settled.stored == (Held(guest="g1", host="h2", held_at=0.0),)
    assert settled.dropped == ()
    assert (kept(database).host, kept(database).body) == ("h2", b"d")
    with database.writer() as session:
        assert held.settle(session, 999.0, 60.0) == held.Settled(stored=(), dropped=())


def test_what_nova_does_not_confirm_in_a_period_is_dropped(database):
    place(database, g1="h1")
    with database.writer() as session:
        hold(session, now=0.0)
        hold(session, "unknown", now=30.0)
        assert held.settle(session, 59.0, 60.0).dropped == ()
        settled = held.settle(session, 60.0, 60.0)
        assert settled.dropped == (Held(guest="g1", host="h2", held_at=0.0),)
        assert fingerprints.held_count(session, "h2") == 1
        assert fingerprints.summaries(session) == []


def test_a_held_fingerprint_gives_way_to_a_newer_one_stored_meanwhile(database):
    place(database, g1="h1")
    with database.writer() as session:
        hold(session, number=(1, 1))
    place(database, 10.0, g1="h2")
    with database.writer() as session:
        store(session, at="h2", number=(1, 2))
        held.settle(session, 11.0, 60.0)
    assert kept(database).number == Number(1, 2)


def test_of_one_guest_on_one_host_the_newest_is_held(database):
    with database.writer() as session:
        assert hold(session, number=(1, 2), digest="b") is HoldOutcome.HELD
        assert hold(session, number=(1, 2), digest="b") is HoldOutcome.DUPLICATE
        assert hold(session, number=(1, 1), digest="a") is HoldOutcome.OLDER
        assert hold(session, number=(1, 3), digest="c") is HoldOutcome.HELD
    place(database, g1="h2")
    with database.writer() as session:
        held.settle(session, 1.0, 60.0)
    assert kept(database).body == b"c"


def test_a_newer_one_does_not_prolong_the_holding(database):
    with database.writer() as session:
        hold(session, number=(1, 1), now=0.0)
        hold(session, number=(1, 2), digest="e", now=59.0)
        assert len(held.settle(session, 60.0, 60.0).dropped) == 1


def test_one_guest_on_two_hosts_is_held_for_each(database):
    with database.writer() as session:
        assert hold(session, at="h1") is HoldOutcome.HELD
        assert hold(session, at="h2") is HoldOutcome.HELD
    place(database, g1="h2")
    with database.writer() as session:
        settled = held.settle(session, 60.0, 60.0)
    assert [one.host for one in settled.stored] == ["h2"]
    assert [one.host for one in settled.dropped] == ["h1"]


def test_an_agent_cannot_fill_the_database(database, monkeypatch):
    monkeypatch.setattr(fingerprints, "MAX_HELD_A_HOST", 3)
    place(database, known="h2")
    with database.writer() as session:
        outcomes = [hold(session, f"g{number}") for number in range(5)]
        assert outcomes == [HoldOutcome.HELD] * 3 + [HoldOutcome.FULL] * 2
        assert hold(session, "g4", at="h3") is HoldOutcome.HELD
        again = hold(session, "g1", number=(1, 2), digest="e")
        assert again is HoldOutcome.HELD
        guests = [reported("g4"), reported("known")]
        wanted = fingerprints.wanted(session, "h2", guests, 0.0)
        assert wanted == [Wanted("known", Cause.UNKNOWN)]
