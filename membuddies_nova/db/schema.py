# SPDX-License-Identifier: Apache-2.0
"""The tables' history: bringing a database to this release's tables.

For ``membuddies-manage db upgrade``, the upgrade check and tests. Services never
change tables by themselves.
"""

from alembic import command, config, script
from alembic.runtime import migration

from membuddies_nova.db.api import Database


def upgrade(database: Database) -> None:
    """Create the tables, or change them to what this release expects.

    Does nothing when they are that already.

    :raises DatabaseUnavailableError: if the server does not answer
    """
    with database.connection() as connection:
        if connection.dialect.name == "sqlite":
            # Kept in the file: readers and one writer do not wait for each other.
            driver = connection.connection.driver_connection
            driver.execute("PRAGMA journal_mode=WAL")  # type: ignore[union-attr]
        with connection.begin():
            settings = _settings()
            settings.attributes["connection"] = connection
            command.upgrade(settings, "head")


def version(database: Database) -> str | None:
    """The revision that the tables are at, None for an empty database.

    :raises DatabaseUnavailableError: if the server does not answer
    """
    with database.reader() as session:
        context = migration.MigrationContext.configure(session.connection())
        return context.get_current_revision()


def head() -> str:
    """The revision that this release expects."""
    newest = script.ScriptDirectory.from_config(_settings()).get_current_head()
    assert newest is not None, "the package holds no migration"
    return newest


def _settings() -> config.Config:
    settings = config.Config()
    settings.set_main_option("script_location", "membuddies_nova.db:migrations")
    settings.set_main_option("path_separator", "os")
    return settings
