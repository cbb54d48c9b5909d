# SPDX-License-Identifier: Apache-2.0
"""The lease, the pause switch and the services' signs of life."""

from membuddies_nova.db import leases, services, switches


def acquire(database, holder, now):
    with database.writer() as session:
        return leases.acquire_or_renew(session, "leader", holder, now, 30.0)


def leader(database, now):
    with database.reader() as session:
        return leases.holder(session, "leader", now)


def test_the_first_to_ask_leads(database):
    assert leader(database, 0.0) is None
    assert acquire(database, "a", 0.0)
    assert not acquire(database, "b", 1.0)
    assert leader(database, 1.0) == "a"


def test_a_renewed_lease_lasts_longer(database):
    acquire(database, "a", 0.0)
    assert acquire(database, "a", 20.0)
    assert not acquire(database, "b", 40.0)


def test_an_expired_lease_is_taken(database):
    acquire(database, "a", 0.0)
    assert leader(database, 30.0) is None
    assert acquire(database, "b", 30.0)
    assert not acquire(database, "a", 31.0)


def test_a_lease_given_up_is_free_at_once(database):
    acquire(database, "a", 0.0)
    with database.writer() as session:
        assert not leases.release(session, "leader", "b")
        assert leases.release(session, "leader", "a")
    assert acquire(database, "b", 1.0)


def test_leases_of_other_names_do_not_matter(database):
    acquire(database, "a", 0.0)
    with database.writer() as session:
        assert leases.acquire_or_renew(session, "other", "b", 0.0, 30.0)


def test_moves_are_paused_until_they_are_resumed(database):
    with database.writer() as session:
        assert switches.paused(session) is None
        switches.pause(session, "ada", "upgrade", 1.0)
        switches.pause(session, "bob", "still", 2.0)
        assert switches.paused(session) == switches.Pause(
            by="bob", reason="still", paused_at=2.0
        )
    with database.writer() as session:
        assert switches.resume(session)
        assert not switches.resume(session)
        assert switches.paused(session) is None


def test_the_last_sign_of_life_of_each_service_is_kept(database):
    with database.writer() as session:
        services.beat(session, "membuddies-controller", "c2", 1.0, {})
        services.beat(session, "membuddies-controller", "c1", 1.0, {"stored": 1})
        services.beat(session, "membuddies-controller", "c1", 2.0, {"stored": 5})
    with database.reader() as session:
        found = services.all(session)
    assert [(one.host, one.beat_at, one.detail) for one in found] == [
        ("c1", 2.0, {"stored": 5}),
        ("c2", 1.0, {}),
    ]
