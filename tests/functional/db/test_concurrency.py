# SPDX-License-Identifier: Apache-2.0
"""Several controllers and rebalancers on one database, at the same moment."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

from membuddies_nova.db import (
    fingerprints,
    inventory,
    leases,
    moves,
    plans,
    reports,
    schema,
)
from membuddies_nova.db.api import Database
from membuddies_nova.db.fingerprints import StoreOutcome
from membuddies_nova.facts import Cause, Number, Wanted
from tests.functional.db import examples
from tests.functional.db.examples import (
    guest,
    host,
    host_of,
    kept,
    move,
    place,
    plan,
    reported,
    store,
)

THREADS = 6


def at_once(*functions):
    """Call all in threads of their own, begun together: their results."""
    begin = threading.Barrier(len(functions))

    def call(function):
        begin.wait()
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        futures = [pool.submit(call, function) for function in functions]
        return [future.result() for future in futures]


def test_the_newest_stays_whoever_stores_when(database):
    place(database, g1="h1", g2="h1")
    numbers = [(started, counter) for started in (1, 2) for counter in range(12)]

    def controller(seed):
        mine = random.Random(seed).sample(numbers, len(numbers))
        outcomes = []
        for number in mine:
            for uuid in ("g1", "g2"):
                outcomes.append(
                    database.write(
                        lambda session, uuid=uuid, number=number: store(
                            session, uuid, number=number
                        )
                    )
                )
        return outcomes

    outcomes = at_once(*(lambda seed=seed: controller(seed) for seed in range(THREADS)))
    for uuid in ("g1", "g2"):
        found = kept(database, uuid)
        assert found.number == Number(2, 11)
        assert found.body == b"digest-(2, 11)"
    stored = sum(one.count(StoreOutcome.STORED) for one in outcomes)
    with database.reader() as session:
        sequences = [one.sequence for one in fingerprints.changed_since(session, 0)]
        assert len(set(sequences)) == 2
        assert max(sequences) <= fingerprints.newest_sequence(session)
        assert fingerprints.newest_sequence(session) >= stored


def test_one_fingerprint_from_many_controllers_is_stored_once(database):
    place(database, g1="h1")
    outcomes = at_once(*[lambda: database.write(store)] * THREADS)
    assert outcomes.count(StoreOutcome.STORED) == 1
    assert outcomes.count(StoreOutcome.DUPLICATE) == THREADS - 1


def test_a_reader_of_changes_misses_none(database):
    guests = {f"g{number}": "h1" for number in range(40)}
    place(database, **guests)
    writing = threading.Event()
    writing.set()

    def controller(part):
        for uuid in list(guests)[part::THREADS]:
            database.write(lambda session, uuid=uuid: store(session, uuid))

    def controllers():
        at_once(*(lambda part=part: controller(part) for part in range(THREADS)))
        writing.clear()

    def reader():
        seen, newest = set(), 0
        last = False
        while not last:
            last = not writing.is_set()
            with database.reader() as session:
                for found in fingerprints.changed_since(session, newest):
                    assert found.guest not in seen, "it is told once"
                    seen.add(found.guest)
                    newest = found.sequence
        return seen

    _, seen = at_once(controllers, reader)
    assert seen == set(guests)


def test_after_a_move_the_old_hosts_late_fingerprints_never_stay(database):
    place(database, g1="h1")

    def from_host(at, started):
        for counter in range(15):
            database.write(
                lambda session, counter=counter: store(
                    session, at=at, number=(started, counter), digest=f"{at}-{counter}"
                )
            )

    def moved():
        place(database, 1.0, g1="h2")
        from_host("h2", 1)

    at_once(lambda: from_host("h1", 9), lambda: from_host("h1", 8), moved)
    assert (kept(database).host, kept(database).number) == ("h2", Number(1, 14))


def test_readings_of_two_controllers_leave_one_whole_reading(database):
    def read(first, now):
        uuids = [f"{first}-{number}" for number in range(30)]

        def replace(session):
            return inventory.replace(
                session,
                [host(first), host("shared")],
                [guest(uuid, first) for uuid in [*uuids, "shared"]],
                now,
            )

        for _ in range(3):
            database.write(replace)

    at_once(lambda: read("a", 1.0), lambda: read("b", 2.0), lambda: read("c", 1.5))
    with database.reader() as session:
        found = inventory.guests(session, 3.0)
        names = [one.name for one in inventory.hosts(session, 3.0)]
        assert inventory.state(session).read_at == 2.0
    assert {one.host for one in found} == {"b"}
    assert len(found) == 31
    assert names == ["b", "shared"]


def test_first_reports_of_many_hosts_do_not_disturb_each_other(database):
    place(database, g1="h1")

    def report(name, started):
        def keep(session):
            examples.report(session, name, (started, 1), guests=[reported()])
            fingerprints.confirm(session, name, started, [reported()])
            return fingerprints.wanted(session, name, [reported()], 0.0)

        return database.write(keep)

    answers = at_once(
        *(
            lambda name=f"h{number % 3}", started=number: report(name, started)
            for number in range(9)
        )
    )
    assert answers.count([Wanted("g1", Cause.UNKNOWN)]) == 3
    with database.reader() as session:
        assert [(one.host, one.number.started) for one in reports.all(session)] == [
            ("h0", 6),
            ("h1", 7),
            ("h2", 8),
        ]


def test_one_of_many_takes_the_lease(database):
    def acquire(holder, now):
        return database.write(
            lambda session: leases.acquire_or_renew(session, "l", holder, now, 30.0)
        )

    for now in (0.0, 100.0):
        taken = at_once(
            *(
                lambda holder=f"holder-{number}", now=now: acquire(holder, now)
                for number in range(THREADS)
            )
        )
        assert taken.count(True) == 1


def test_one_of_many_claims_a_move(database):
    with database.writer() as session:
        plan_id = plans.create(
            session, plan(move("g1")), mode="auto", state="running", now=1.0
        )
        (only,) = moves.of_plan(session, plan_id)
    claims = at_once(
        *(
            lambda holder=f"holder-{number}": database.write(
                lambda session: moves.claim(session, only.id, holder=holder, now=2.0)
            )
            for number in range(THREADS)
        )
    )
    assert claims.count(True) == 1
    with database.reader() as session:
        (claimed,) = moves.still_open(session)
    assert claimed.holder == f"holder-{claims.index(True)}"


def test_a_plan_is_approved_or_cancelled_but_not_both(database):
    with database.writer() as session:
        plan_id = plans.create(
            session, plan(move("g1")), mode="recommend", state="proposed", now=1.0
        )

    def expire(session):
        return plans.set_state(
            session, plan_id, expected=("proposed",), state="expired", now=2.0
        )

    def approve(session):
        return plans.approve(session, plan_id, by="ada", now=2.0)

    happened = at_once(lambda: database.write(approve), lambda: database.write(expire))
    assert sorted(happened) == [False, True]


def test_a_reader_sees_one_state_of_the_database(database):
    place(database, 1.0, g1="h1")
    with database.reader() as session:
        assert host_of(session, "g1") == "h1"
        at_once(lambda: place(database, 2.0, g2="h2"))
        assert [one.name for one in inventory.hosts(session, 3.0)] == ["h1"]
        assert [one.uuid for one in inventory.guests(session, 3.0)] == ["g1"]


def test_a_deadlock_is_tried_again(mariadb_url):
    """Two transactions that take two rows in opposite order."""
    database = Database(mariadb_url)
    schema.upgrade(database)
    attempts = []
    both_hold_one = threading.Barrier(2)

    def take(first, second):
        tries = 0

        def work(session):
            nonlocal tries
            tries += 1
            leases.acquire_or_renew(session, first, "x", 0.0, 1.0)
            if tries == 1:
                both_hold_one.wait()
            leases.acquire_or_renew(session, second, "x", 0.0, 1.0)

        database.write(work)
        attempts.append(tries)

    with database.writer() as session:
        for name in ("a", "b"):
            leases.acquire_or_renew(session, name, "x", 0.0, 1.0)
    at_once(lambda: take("a", "b"), lambda: take("b", "a"))
    assert sorted(attempts) == [1, 2]
