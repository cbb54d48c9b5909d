# SPDX-License-Identifier: Apache-2.0
"""What is stored, held, dropped and refused, on real databases."""

import dataclasses
import functools

import numpy as np
import pytest

from membuddies_nova.bus.messages import Outcome
from membuddies_nova.cluster import Guest
from membuddies_nova.controller.inventory_turn import InventoryTurn
from membuddies_nova.db import fingerprints, inventory, leases, reports
from membuddies_nova.exceptions import MessageError
from membuddies_nova.facts import FINGERPRINT_SOURCE_KEY, Cause, Source, Wanted
from membuddies_nova.fingerprint import codec
from membuddies_nova.fingerprint.sample import Counters, Sample
from tests.functional.controller.agents import (
    KEY,
    MEMORY_BYTES,
    OTHER_KEY,
    PROOF,
    Agent,
    place,
    uuid_of,
)

PERIOD = 60.0


def stored(database):
    """Guest and host of each stored fingerprint."""
    with database.reader() as session:
        return {one.guest: one.host for one in fingerprints.summaries(session)}


def turn(database, tally, placed, holder="c1"):
    """A turn whose readings find guests where ``placed`` says at that moment."""

    def refresh(_database, now):
        place(database, now, **placed)
        return True

    return InventoryTurn(database, refresh, tally, holder=holder, period_seconds=PERIOD)


def test_a_report_is_told_who_reads_where_novas_word_says_so(database, admission):
    guests = [
        Guest(
            uuid=uuid_of(number),
            name="g",
            memory_mb=1,
            host=host,
            extra_specs={} if source is None else {FINGERPRINT_SOURCE_KEY: source},
        )
        for number, host, source in [
            (1, "h1", None),
            (2, "h1", "guest"),
            (3, "h1", "somebody"),
            (4, "h2", "guest"),
        ]
    ]
    with database.writer() as session:
        inventory.replace(session, [], guests, 1.0)
    answer = admission.report(Agent("h1").report(), PROOF, 2.0)
    assert answer.sources == {uuid_of(2): Source.GUEST}


def test_a_report_wants_what_is_not_stored_and_nothing_twice(database, admission):
    place(database, 1.0, h1=(1, 2))
    agent = Agent("h1")
    agent.scan(1)
    agent.scan(2)

    wanted = admission.report(agent.report(), PROOF, 2.0).wanted
    assert {one.guest for one in wanted} == {uuid_of(1), uuid_of(2)}
    for one in wanted:
        answer = admission.store(agent.requests[one.guest], PROOF, 3.0)
        assert answer.outcome is Outcome.STORED
    assert admission.report(agent.report(), PROOF, 4.0).wanted == ()
    assert stored(database) == {uuid_of(1): "h1", uuid_of(2): "h1"}
    with database.reader() as session:
        (report,) = reports.all(session)
    assert (report.host, report.received_at) == ("h1", 4.0)


def test_the_same_fingerprint_is_not_stored_twice(database, admission):
    place(database, 1.0, h1=(1,))
    request = Agent("h1").scan(1)
    assert admission.store(request, PROOF, 2.0).outcome is Outcome.STORED
    assert admission.store(request, PROOF, 3.0).outcome is Outcome.UNCHANGED


def test_an_older_fingerprint_never_overwrites_a_newer(database, admission):
    place(database, 1.0, h1=(1,))
    agent = Agent("h1")
    older, newer = agent.scan(1, seed=1), agent.scan(1, seed=2)
    assert admission.store(newer, PROOF, 2.0).outcome is Outcome.STORED
    assert admission.store(older, PROOF, 3.0).outcome is Outcome.OLDER
    with database.reader() as session:
        (kept,) = fingerprints.changed_since(session, 0)
    assert kept.body == newer.body


def test_an_agent_that_was_started_again_is_newer(database, admission):
    place(database, 1.0, h1=(1,))
    before, after = Agent("h1", started=1, counter=100), Agent("h1", started=2)
    admission.store(before.scan(1, seed=1), PROOF, 2.0)
    assert admission.store(after.scan(1, seed=2), PROOF, 3.0).outcome is Outcome.STORED


def test_of_two_hosts_with_one_guest_only_novas_host_counts(database, admission, tally):
    place(database, 1.0, h1=(1,), h2=())
    admission.store(Agent("h1").scan(1, seed=1), PROOF, 2.0)
    stale = Agent("h2").scan(1, seed=2)
    assert admission.store(stale, PROOF, 3.0).outcome is Outcome.HELD
    # Nova's host goes on, whatever waits.
    assert admission.store(
        Agent("h1", started=2000).scan(1, seed=3), PROOF, 4.0
    ).outcome is (Outcome.STORED)
    turn(database, tally, {"h1": (1,), "h2": ()}).take(3.0 + 2 * PERIOD)
    assert stored(database) == {uuid_of(1): "h1"}
    assert tally.counts()["foreign"] == 1


def test_a_guest_that_has_just_migrated_is_held_and_then_stored(
    database, admission, tally
):
    place(database, 1.0, h1=(1,), h2=())
    agent = Agent("h2")
    answer = admission.store(agent.scan(1), PROOF, 2.0)
    assert answer.outcome is Outcome.HELD
    assert "Nova" in answer.reason
    assert stored(database) == {}
    assert admission.report(agent.report(), PROOF, 3.0).wanted == ()

    turn(database, tally, {"h1": (), "h2": (1,)}).take(1.0 + PERIOD)

    assert stored(database) == {uuid_of(1): "h2"}
    assert tally.counts()["settled"] == 1


def test_a_guest_that_nova_never_knows_is_dropped_after_one_period(
    database, admission, tally, caplog
):
    place(database, 1.0, h1=())
    assert admission.store(Agent("h1").scan(7), PROOF, 30.0).outcome is Outcome.HELD
    controller = turn(database, tally, {"h1": ()})

    controller.take(1.0 + PERIOD)
    assert "foreign" not in tally.counts()
    controller.take(1.0 + 2 * PERIOD)

    assert tally.counts()["foreign"] == 1
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if uuid_of(7) in line and "h1" in line]
    assert stored(database) == {}


def test_only_one_controller_reads_the_inventory_in_a_period(database, tally):
    read = []

    def refresh(_database, now):
        read.append(now)
        return True

    first, second = (
        InventoryTurn(database, refresh, tally, holder=name, period_seconds=PERIOD)
        for name in ("c1", "c2")
    )
    assert first.take(100.0)
    assert not second.take(101.0)
    assert first.take(160.0)
    assert read == [100.0, 160.0]

    # The first dies: after two periods the second takes over ...
    assert not second.take(161.0)
    assert second.take(160.0 + 2 * PERIOD)
    # ... and gives up at its end, so that nobody waits.
    second.give_up()
    assert first.take(161.0 + 2 * PERIOD)
    with database.reader() as session:
        assert leases.holder(session, "inventory", 282.0) == "c1"


def test_nothing_is_settled_by_a_reading_that_failed(database, admission, tally):
    place(database, 1.0, h1=())
    admission.store(Agent("h1").scan(1), PROOF, 2.0)
    failing = InventoryTurn(
        database,
        lambda _database, _now: False,
        tally,
        holder="c1",
        period_seconds=PERIOD,
    )
    assert failing.take(1000.0)
    assert "foreign" not in tally.counts()


def sampled(request, **changes):
    """A request with another sample's body."""
    body = codec.encode(Sample(**changes).sealed(KEY))
    return dataclasses.replace(request, body=body, digest=codec.digest(body))


@pytest.mark.parametrize(
    ("resident", "unique", "items", "problem"),
    [
        (MEMORY_BYTES // 4096 + 1, 1000, 10, "more than the host's"),
        (1000, 1000, 500, "cannot come from 1000 unique pages"),
    ],
)
def test_counts_that_cannot_be_true_are_refused(
    database, admission, resident, unique, items, problem
):
    place(database, 1.0, h1=(1,))
    agent = Agent("h1")
    request = agent.scan(1)
    admission.report(agent.report(), PROOF, 1.0)
    impossible = sampled(
        request,
        items=np.arange(1, items + 1, dtype=np.uint64),
        shift=6,
        counters=Counters(resident_pages=resident, unique_pages=unique, zero_pages=0),
    )
    with pytest.raises(MessageError, match=problem):
        admission.store(impossible, PROOF, 2.0)
    assert stored(database) == {}


def test_a_fingerprint_that_was_cut_short_is_refused(database, admission):
    place(database, 1.0, h1=(1,))
    request = Agent("h1").scan(1)
    cut = functools.partial(dataclasses.replace, request)
    for size in (0, 1, 80, len(request.body) - 1):
        with pytest.raises(MessageError, match="body"):
            admission.store(cut(body=request.body[:size]), PROOF, 2.0)
    assert stored(database) == {}


def test_a_report_that_is_replayed_is_dropped_and_counted(
    database, admission, tally, caplog
):
    place(database, 1.0, h1=(1,))
    agent = Agent("h1")
    recorded = agent.report()
    agent.scan(1)
    admission.report(agent.report(), PROOF, 2.0)

    answer = admission.report(recorded, PROOF, 3.0)

    assert answer.outcome is Outcome.REFUSED
    assert "a newer report" in answer.reason
    assert tally.counts() == {"reports": 1, "wanted:unknown": 1, "replayed": 1}
    assert "h1" in caplog.text
    with database.reader() as session:
        (kept,) = reports.all(session)
    assert (kept.number.counter, kept.received_at) == (2, 2.0)


def test_a_report_that_comes_twice_is_a_duplicate_and_renews_nothing(
    database, admission, tally
):
    place(database, 1.0, h1=(1,))
    agent = Agent("h1")
    agent.scan(1)
    twice = agent.report()
    wanted = [admission.report(twice, PROOF, now).wanted for now in (2.0, 3.0)]
    assert wanted == [(Wanted(uuid_of(1), Cause.UNKNOWN),)] * 2
    assert tally.counts() == {"reports": 1, "duplicate": 1, "wanted:unknown": 2}
    with database.reader() as session:
        (kept,) = reports.all(session)
    assert kept.received_at == 2.0


def test_replayed_and_repeated_fingerprints_are_counted_apart(
    database, admission, tally, caplog
):
    place(database, 1.0, h1=(1,))
    agent = Agent("h1")
    recorded, newest = agent.scan(1, seed=1), agent.scan(1, seed=2)
    admission.store(newest, PROOF, 2.0)
    for _ in range(3):
        assert admission.store(newest, PROOF, 3.0).outcome is Outcome.UNCHANGED
    for _ in range(2):
        assert admission.store(recorded, PROOF, 4.0).outcome is Outcome.OLDER
    assert tally.counts() == {"stored": 1, "duplicate": 3, "replayed": 2}
    assert caplog.text.count("Dropped a fingerprint") == 1
    with database.reader() as session:
        (kept,) = fingerprints.changed_since(session, 0)
    assert kept.body == newest.body


def test_a_scan_that_found_nothing_new_is_no_duplicate(database, admission, tally):
    place(database, 1.0, h1=(1,))
    agent = Agent("h1")
    admission.store(agent.scan(1), PROOF, 2.0)
    assert admission.store(agent.scan(1), PROOF, 3.0).outcome is Outcome.UNCHANGED
    assert tally.counts() == {"stored": 1, "unchanged": 1}


def test_a_body_under_another_key_than_its_message_is_refused(database, admission):
    place(database, 1.0, h1=(1,))
    request = Agent("h1").scan(1, key=OTHER_KEY)
    with pytest.raises(MessageError, match="is sealed under key"):
        admission.store(request, PROOF, 2.0)
    assert stored(database) == {}


def test_a_host_says_nothing_of_guests_that_nova_sees_elsewhere(database, admission):
    place(database, 1.0, h1=(1,), h2=())
    agent = Agent("h1")
    request = agent.scan(1)
    admission.store(request, PROOF, 2.0)
    place(database, 3.0, h1=(), h2=(1,))

    # The old host still reports the guest, and even under a newer number.
    again = agent.scan(1)
    assert again.digest == request.digest
    assert admission.report(agent.report(), PROOF, 4.0).wanted == ()

    with database.reader() as session:
        (kept,) = fingerprints.summaries(session)
    assert (kept.number, kept.scanned_at) == (request.number, request.scanned_at)
