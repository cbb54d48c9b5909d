# SPDX-License-Identifier: Apache-2.0
"""What a purge removes, and what it must leave."""

from membuddies_nova.db import (
    fingerprints,
    held,
    inventory,
    moves,
    plans,
    purge,
    reports,
    services,
)
from membuddies_nova.facts import Number
from tests.functional.db.examples import move, place, plan, report, store

NOTHING = purge.Purged(
    plans=0, moves=0, fingerprints=0, held_fingerprints=0, reports=0, services=0
)


def run(database, before):
    with database.writer() as session:
        return purge.purge(session, before)


def create(session, state, now, *moves):
    return plans.create(session, plan(*moves), mode="recommend", state=state, now=now)


def test_an_empty_database_has_nothing_to_purge(database):
    assert run(database, 1000.0) == NOTHING


def test_plans_that_ended_long_ago_go_with_their_moves(database):
    with database.writer() as session:
        create(session, "observed", 10.0, move("g1"), move("g2"))
        recent = create(session, "observed", 90.0)
        waiting = create(session, "proposed", 10.0, move("g3"))
    purged = run(database, 50.0)
    assert (purged.plans, purged.moves) == (1, 2)
    with database.reader() as session:
        assert {one.id for one in plans.list_plans(session, 9)} == {recent, waiting}


def test_a_plan_stays_while_one_of_its_moves_is_under_way(database):
    with database.writer() as session:
        plan_id = create(session, "running", 10.0, move("g1"))
        (only,) = moves.of_plan(session, plan_id)
        moves.claim(session, only.id, holder="a", now=11.0)
        plans.cancel(session, plan_id, abort=False, now=12.0)
    assert run(database, 50.0) == NOTHING


def test_what_is_kept_of_vanished_guests_and_hosts_goes(database):
    place(database, 1.0, g1="h1", g2="h2")
    with database.writer() as session:
        store(session, "g1", "h1", now=1.0)
        store(session, "g2", "h2", now=1.0)
        report(session, "h1")
        report(session, "h2")
    place(database, 60.0, g1="h1")
    assert run(database, 1.0) == NOTHING, "they are not old enough"
    purged = run(database, 50.0)
    assert (purged.fingerprints, purged.reports) == (1, 1)
    with database.reader() as session:
        assert [one.guest for one in fingerprints.summaries(session)] == ["g1"]
        assert [one.host for one in reports.all(session)] == ["h1"]


def test_a_shelved_guest_keeps_its_fingerprint(database):
    place(database, 1.0, g1="h1")
    with database.writer() as session:
        store(session, "g1", "h1", now=1.0)
    place(database, 60.0, g1=None)
    assert run(database, 50.0) == NOTHING


def test_nothing_goes_on_the_word_of_an_inventory_that_was_never_read(database):
    with database.writer() as session:
        inventory.failed(session, "Nova does not answer", 1.0)
        report(session, "h1")
    assert run(database, 50.0) == NOTHING


def test_services_and_held_fingerprints_of_the_past_go(database):
    with database.writer() as session:
        services.beat(session, "membuddies-controller", "c1", 1.0, {})
        services.beat(session, "membuddies-controller", "c2", 90.0, {})
        held.hold(session, "g1", "h1", Number(1, 1), "d", b"", 1.0, 1.0)
    purged = run(database, 50.0)
    assert (purged.services, purged.held_fingerprints) == (1, 1)
    with database.reader() as session:
        assert [one.host for one in services.all(session)] == ["c2"]
