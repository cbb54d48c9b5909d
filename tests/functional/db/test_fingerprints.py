# SPDX-License-Identifier: Apache-2.0
"""Which fingerprint stays: the newest from the host that Nova names."""

import pytest

from membuddies_nova import exceptions
from membuddies_nova.db import fingerprints, held
from membuddies_nova.db.fingerprints import StoreOutcome
from membuddies_nova.facts import Cause, Number
from tests.functional.db.examples import kept, place, reported, store


def test_a_newer_fingerprint_replaces_an_older(database):
    place(database, g1="h1")
    for number in [(1, 1), (1, 2), (2, 1)]:
        with database.writer() as session:
            assert store(session, number=number) is StoreOutcome.STORED
    found = kept(database)
    assert found.number == Number(2, 1)
    assert found.body == b"digest-(2, 1)"


@pytest.mark.parametrize("older", [(5, 4), (4, 9), (5, 5)])
def test_an_older_fingerprint_never_overwrites_a_newer(database, older):
    place(database, g1="h1")
    with database.writer() as session:
        store(session, number=(5, 5))
    before = kept(database)
    with database.writer() as session:
        assert store(session, number=older, digest="late") is StoreOutcome.OLDER
    assert kept(database) == before


def test_the_same_fingerprint_twice_is_written_once(database):
    place(database, g1="h1")
    with database.writer() as session:
        store(session, number=(1, 1))
    before = kept(database)
    with database.writer() as session:
        assert store(session, number=(1, 1), now=9.0) is StoreOutcome.DUPLICATE
    assert kept(database) == before


def test_an_unchanged_fingerprint_only_renews_its_number(database):
    place(database, g1="h1")
    with database.writer() as session:
        store(session, number=(1, 1), digest="d", body=b"first")
        outcome = store(session, number=(1, 3), digest="d", body=b"first", now=9.0)
    assert outcome is StoreOutcome.UNCHANGED
    found = kept(database)
    assert (found.number, found.scanned_at) == (Number(1, 3), 9.0)
    assert found.sequence == 1, "a reader of changes has nothing to read again"


def test_a_fingerprint_made_between_two_equal_ones_comes_too_late(database):
    place(database, g1="h1")
    with database.writer() as session:
        store(session, number=(1, 1), digest="d")
        fingerprints.confirm(session, "h1", 1, [reported(counter=3, digest="d")])
        assert store(session, number=(1, 2), digest="other") is StoreOutcome.OLDER
    assert kept(database).digest == "d"


def test_a_report_confirms_only_what_is_stored_from_its_host(database):
    place(database, g1="h1", g2="h1", g3="h1")
    with database.writer() as session:
        for uuid in ("g1", "g2", "g3"):
            store(session, uuid, number=(1, 5), digest="d")
    before = {uuid: kept(database, uuid) for uuid in ("g1", "g2", "g3")}
    with database.writer() as session:
        fingerprints.confirm(
            session,
            "h1",
            1,
            [
                reported("g1", counter=6, digest="other"),
                reported("g2", counter=4, digest="d"),
                reported("unknown", counter=9),
            ],
        )
        fingerprints.confirm(session, "h2", 1, [reported("g3", counter=9)])
    assert {uuid: kept(database, uuid) for uuid in before} == before


def test_the_first_fingerprint_of_the_new_host_replaces_the_old_ones(database):
    place(database, g1="h1")
    with database.writer() as session:
        store(session, at="h1", number=(900, 900))
    place(database, 10.0, g1="h2")
    with database.writer() as session:
        assert store(session, at="h2", number=(1, 1)) is StoreOutcome.STORED
        late = store(session, at="h1", number=(900, 901))
        assert late is StoreOutcome.ELSEWHERE
    found = kept(database)
    assert (found.host, found.number) == ("h2", Number(1, 1))


def test_the_old_fingerprint_stays_until_the_new_host_sends_one(database):
    place(database, g1="h1")
    with database.writer() as session:
        store(session, at="h1")
    place(database, 10.0, g1="h2")
    assert kept(database).host == "h1"


@pytest.mark.parametrize("at", ["h2", "H1", "h1 ", None])
def test_a_host_that_nova_does_not_name_stores_nothing(database, at):
    place(database, g1=at)
    with database.writer() as session:
        assert store(session, at="h1") is StoreOutcome.ELSEWHERE
        assert store(session, "unknown", at="h1") is StoreOutcome.ELSEWHERE
        assert fingerprints.summaries(session) == []


def test_a_body_of_a_large_guest_comes_back_whole(database):
    place(database, g1="h1")
    body = bytes(range(256)) * (fingerprints.MAX_BODY_BYTES // 256)
    with database.writer() as session:
        store(session, body=body)
    assert kept(database).body == body


def test_a_body_that_is_too_large_is_refused(database):
    place(database, g1="h1")
    body = bytes(fingerprints.MAX_BODY_BYTES + 1)
    with database.writer() as session:
        with pytest.raises(exceptions.FingerprintError, match="8384513 bytes"):
            store(session, body=body)
        with pytest.raises(exceptions.FingerprintError, match="8384513 bytes"):
            held.hold(session, "g1", "h2", Number(1, 1), "d", body, 1.0, 1.0)


def test_a_reader_sees_only_what_changed_since_it_looked(database):
    place(database, g1="h1", g2="h1")
    with database.writer() as session:
        assert fingerprints.newest_sequence(session) == 0
        store(session, "g1")
        store(session, "g2")
        seen = fingerprints.newest_sequence(session)
        assert fingerprints.changed_since(session, seen) == []
        store(session, "g1", number=(1, 2))
        (changed,) = fingerprints.changed_since(session, seen)
    assert (changed.guest, changed.number) == ("g1", Number(1, 2))


def test_bodies_are_given_for_the_guests_asked_for(database):
    place(database, g1="h1", g2="h1")
    with database.writer() as session:
        store(session, "g1", body=b"one")
        store(session, "g2", body=b"two")
        assert fingerprints.bodies(session, ["g2", "g3"]) == {"g2": b"two"}
        assert fingerprints.bodies(session, []) == {}


def test_summaries_tell_all_but_the_body(database):
    place(database, g1="h1")
    with database.writer() as session:
        store(session, body=b"12345", now=7.0)
        (summary,) = fingerprints.summaries(session)
    assert summary == fingerprints.FingerprintSummary(
        guest="g1",
        host="h1",
        number=Number(1, 1),
        digest="digest-(1, 1)",
        body_bytes=5,
        scanned_at=7.0,
        stored_at=7.0,
        sequence=1,
    )


def wanted(database, *guests, host="h1", expired_before=0.0):
    """What is wanted of these guests, as (guest, cause)."""
    with database.reader() as session:
        found = fingerprints.wanted(session, host, guests, expired_before)
    return [(one.guest, one.cause) for one in found]


def test_an_unknown_fingerprint_is_wanted(database):
    place(database, g1="h1", g2="h1")
    assert wanted(database, reported("g2"), reported("g1")) == [
        ("g2", Cause.UNKNOWN),
        ("g1", Cause.UNKNOWN),
    ]


def test_a_changed_fingerprint_is_wanted_and_a_stored_one_is_not(database):
    place(database, g1="h1", g2="h1")
    with database.writer() as session:
        store(session, "g1", digest="d")
        store(session, "g2", digest="d")
    changed = reported("g2", counter=2, digest="other")
    assert wanted(database, reported("g1", counter=2, digest="d"), changed) == [
        ("g2", Cause.DIFFERS)
    ]


def test_a_stored_fingerprint_whose_scan_is_too_long_ago_is_wanted_anew(database):
    place(database, g1="h1", g2="h1")
    with database.writer() as session:
        store(session, "g1", digest="d", now=10.0)
        store(session, "g2", digest="d", now=30.0)
    both = [reported(uuid, digest="d") for uuid in ("g1", "g2")]
    assert wanted(database, *both, expired_before=20.0) == [("g1", Cause.EXPIRED)]
    assert wanted(database, *both, expired_before=10.0) == []


def test_a_guest_without_a_fingerprint_is_not_wanted(database):
    place(database, g1="h1")
    assert wanted(database, reported(counter=None, digest=None)) == []
    assert wanted(database) == []


def test_a_guest_that_nova_sees_elsewhere_is_not_wanted(database):
    place(database, g1="h2", g2=None)
    assert wanted(database, reported("g1"), reported("g2")) == []


def test_a_guest_that_nova_does_not_know_is_wanted_once(database):
    place(database, g1="h1")
    assert wanted(database, reported("new")) == [("new", Cause.UNKNOWN)]
    with database.writer() as session:
        held.hold(session, "new", "h1", Number(1, 1), "d", b"", 1.0, 1.0)
    assert wanted(database, reported("new")) == []


def test_the_new_hosts_fingerprint_is_wanted_even_with_an_equal_digest(database):
    place(database, g1="h1")
    with database.writer() as session:
        store(session, digest="d")
    place(database, 10.0, g1="h2")
    assert wanted(database, reported(digest="d"), host="h2") == [("g1", Cause.UNKNOWN)]
