# SPDX-License-Identifier: Apache-2.0
"""The database goes away and comes back, is not there, or is locked."""

import sqlite3
import threading

import pytest
from oslo_config import cfg

from membuddies_nova import exceptions
from membuddies_nova.db import api, inventory, leases, schema, switches
from membuddies_nova.db.api import Database, DatabaseUnavailableError
from tests.functional.db.examples import host_of, kept, place, store
from tests.functional.services import free_port


@pytest.fixture
def on_mariadb(mariadb_url):
    database = Database(mariadb_url)
    schema.upgrade(database)
    return database


def test_the_same_object_works_again_after_the_server_was_away(mariadb, on_mariadb):
    place(on_mariadb, 1.0, g1="h1")
    mariadb.stop()
    try:
        for _ in range(3):
            with pytest.raises(DatabaseUnavailableError, match="cannot be used now"):
                on_mariadb.write(store)
            with (
                pytest.raises(DatabaseUnavailableError),
                on_mariadb.reader() as session,
            ):
                inventory.state(session)
    finally:
        mariadb.start()
    on_mariadb.write(store)
    assert kept(on_mariadb).host == "h1"


def test_idle_connections_of_many_threads_survive_a_restart(mariadb, on_mariadb):
    place(on_mariadb, 1.0, g1="h1")
    all_connected = threading.Barrier(4)
    all_idle = threading.Barrier(4)
    restarted = threading.Event()
    hosts = []

    def work():
        with on_mariadb.reader() as session:
            host_of(session, "g1")
            all_connected.wait()
        all_idle.wait()
        restarted.wait()
        with on_mariadb.reader() as session:
            hosts.append(host_of(session, "g1"))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    all_connected.wait()
    all_idle.wait()
    mariadb.restart()
    restarted.set()
    for thread in threads:
        thread.join()
    assert hosts == ["h1"] * 3


def test_what_was_not_committed_when_the_server_died_is_not_there(mariadb, on_mariadb):
    place(on_mariadb, 1.0, g1="h1")

    def die_halfway(session):
        store(session)
        switches.pause(session, "ada", "why", 1.0)
        mariadb.kill()
        mariadb.start()

    with pytest.raises(DatabaseUnavailableError):
        on_mariadb.write(die_halfway)
    with on_mariadb.reader() as session:
        assert switches.paused(session) is None
        assert host_of(session, "g1") == "h1"
    on_mariadb.write(store)
    assert kept(on_mariadb).sequence == 1


def test_a_session_whose_connection_was_cut_fails_and_the_next_works(
    mariadb, on_mariadb
):
    def be_cut_off(session):
        (row,) = session.connection().exec_driver_sql("SELECT CONNECTION_ID()")
        mariadb.execute(f"KILL {row[0]}")
        switches.pause(session, "ada", "why", 1.0)

    with pytest.raises(DatabaseUnavailableError):
        on_mariadb.write(be_cut_off)
    with on_mariadb.writer() as session:
        switches.pause(session, "ada", "why", 1.0)


def test_who_stalls_in_a_transaction_keeps_no_row_from_others(
    mariadb_url, on_mariadb, monkeypatch
):
    monkeypatch.setattr(api, "IDLE_IN_TRANSACTION_SECONDS", 1)
    stalled = Database(mariadb_url)

    def stall(session):
        assert leases.acquire_or_renew(session, "leader", "a", 0.0, 30.0)
        with on_mariadb.writer() as another:
            assert leases.acquire_or_renew(another, "leader", "b", 1.0, 30.0)

    with pytest.raises(DatabaseUnavailableError):
        stalled.write(stall)
    with on_mariadb.reader() as session:
        assert leases.holder(session, "leader", 2.0) == "b"


def test_a_server_that_is_not_there_is_told_at_once_without_the_password():
    database = Database(f"mysql+pymysql://u:s3cret@127.0.0.1:{free_port()}/membuddies")
    with pytest.raises(DatabaseUnavailableError) as caught:
        schema.version(database)
    text = str(caught.value)
    assert "mysql+pymysql://u:***@127.0.0.1" in text
    assert "Connection refused" in text
    assert "s3cret" not in text
    assert "\n" not in text


def test_a_database_that_was_not_created_is_told(mariadb, mariadb_url):
    database = Database(f"{mariadb_url}_none")
    with pytest.raises(DatabaseUnavailableError, match="Unknown database"):
        schema.upgrade(database)


def test_a_directory_that_is_not_there_is_told(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/none/membuddies.sqlite")
    with pytest.raises(DatabaseUnavailableError, match="unable to open database file"):
        schema.upgrade(database)


def test_a_file_that_another_program_keeps_locked_is_told(tmp_path):
    path = tmp_path / "membuddies.sqlite"
    schema.upgrade(Database(f"sqlite:///{path}"))
    impatient = Database(f"sqlite:///{path}?timeout=0.1")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with (
        pytest.raises(DatabaseUnavailableError, match="database is locked"),
        impatient.writer() as session,
    ):
        switches.resume(session)
    with impatient.reader() as session:
        assert switches.paused(session) is None, "readers do not wait"
    other.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense-s3cret",
        "nosuchserver://u:s3cret@host/name",
        "mysql+cymysql://u:s3cret@host/name",
        "mysql+pymysql://u:p@host:s3cret/name",
    ],
)
def test_a_url_that_cannot_be_read_is_told(url):
    with pytest.raises(exceptions.ConfigurationError) as caught:
        Database(url)
    assert "[database] connection" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_configured_connection_is_used(tmp_path):
    path = tmp_path / "configured.sqlite"
    configuration = tmp_path / "membuddies.conf"
    configuration.write_text(f"[database]\nconnection = sqlite:///{path}\n")
    conf = cfg.ConfigOpts()
    conf(["--config-file", str(configuration)], project="membuddies")
    schema.upgrade(Database(conf))
    assert path.exists()


def test_without_a_connection_it_is_sqlite_in_our_state_directory():
    conf = cfg.ConfigOpts()
    conf([], project="membuddies", default_config_files=[])
    assert Database(conf).url == "sqlite:////var/lib/membuddies/membuddies.sqlite"
    assert conf.database.connection == api.DEFAULT_CONNECTION


def test_an_exception_in_a_block_undoes_it(database):
    def fail(session):
        switches.pause(session, "ada", "why", 1.0)
        raise KeyError

    with pytest.raises(KeyError):
        database.write(fail)
    with database.reader() as session:
        assert switches.paused(session) is None
