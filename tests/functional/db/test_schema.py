# SPDX-License-Identifier: Apache-2.0
"""Migrations lead to the tables that the models describe."""

import pytest
from alembic import autogenerate
from alembic.runtime.migration import MigrationContext

from membuddies_nova.db import inventory, models, schema
from membuddies_nova.db.api import Database, SchemaError
from tests.functional.db.examples import host_of, place


def test_migrations_and_models_agree(database):
    with database.connection() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert autogenerate.compare_metadata(context, models.Base.metadata) == []


def test_an_upgrade_leads_to_this_releases_revision(database_url):
    database = Database(database_url)
    assert schema.version(database) is None
    schema.upgrade(database)
    assert schema.version(database) == schema.head()


def test_a_second_upgrade_changes_nothing(database):
    place(database, 1.0, g1="h1")
    schema.upgrade(database)
    with database.reader() as session:
        assert host_of(session, "g1") == "h1"


def test_without_tables_the_error_says_what_to_run(database_url):
    database = Database(database_url)
    with (
        pytest.raises(
            SchemaError, match="run `membuddies-manage db upgrade`"
        ) as caught,
        database.reader() as session,
    ):
        inventory.state(session)
    assert "\n" not in str(caught.value)
    assert "inventory_reads" in str(caught.value)


def test_tables_on_mariadb_are_innodb_with_real_utf8_compared_by_bytes(
    mariadb, mariadb_url
):
    schema.upgrade(Database(mariadb_url))
    name = mariadb_url.rpartition("/")[2]
    found = mariadb.execute(
        "SELECT DISTINCT engine, table_collation FROM information_schema.tables "
        f"WHERE table_schema = '{name}' AND table_name != 'alembic_version'"
    )
    assert found == (("InnoDB", "utf8mb4_bin"),)
