# SPDX-License-Identifier: Apache-2.0
"""The connection to the database: one transaction for one ``with`` block.

For every process that reads or writes. A :class:`Database` opens no connection
before it is first used, reconnects by itself after the server was away, and may
be used by many threads; a session belongs to the thread that asked for it.
It never retries behind its user's back, except in :meth:`Database.write`.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import sqlalchemy
from oslo_config import cfg
from oslo_db import api as oslo_db_api
from oslo_db import exception as oslo_db_exception
from oslo_db import options as oslo_db_options
from oslo_db.sqlalchemy import enginefacade
from sqlalchemy import event
from sqlalchemy.orm import Session

from membuddies_nova import exceptions

__all__ = ["Database", "DatabaseUnavailableError", "SchemaError", "Session"]

GROUP = "database"
DEFAULT_CONNECTION = "sqlite:////var/lib/membuddies/membuddies.sqlite"

_Result = TypeVar("_Result")

_DEADLOCK_RETRIES = 10
_SQLITE_BEGIN = "membuddies_sqlite_begin"
# Writers see what others committed a moment ago, also after they waited for a
# lock; readers keep MariaDB's default, one state of the database for all that a
# transaction reads. It is said of one transaction, in one statement before it:
# SQLAlchemy's own option costs three more, to set the session and put it back.
_MARIADB_WRITER = sqlalchemy.text("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
# SQLite takes its only write lock at once, because it refuses to turn a read
# transaction into a writing one while another writes.
_SQLITE_WRITER = {_SQLITE_BEGIN: "BEGIN IMMEDIATE"}
# Unless the URL says otherwise: the server's real UTF-8, and an end to each wait.
_URL_DEFAULTS = {
    "mysql": {"charset": "utf8mb4", "read_timeout": "60", "write_timeout": "60"},
    "sqlite": {"timeout": "30"},
}
_NO_SUCH_TABLE = 1146

IDLE_IN_TRANSACTION_SECONDS = 20
"""After so long without a statement MariaDB ends a transaction and its connection.
A process that stalls with a row locked (a machine that is frozen or cut off) would
else keep the others from that row until the server's TCP gives up, in hours."""


class DatabaseUnavailableError(exceptions.MembuddiesError):
    """The server or the file is away, locked, full or not to be written.

    :ivar url: without its password
    """

    def __init__(self, url: str, problem: object) -> None:
        super().__init__(
            f"the database {url} cannot be used now ({problem}); see [database] "
            f"connection, and whether the server runs"
        )
        self.url = url


class SchemaError(exceptions.MembuddiesError):
    """The database's tables are not those of this release.

    :ivar url: without its password
    """

    def __init__(self, url: str, problem: object) -> None:
        super().__init__(
            f"the database {url} has not the tables of this release ({problem}); "
            f"run `membuddies-manage db upgrade`"
        )
        self.url = url


class _Context:
    """Whom oslo.db hangs a transaction on: a new one for each."""


class Database:
    """One database and its pool of connections.

    :param source: the configuration, whose group ``[database]`` is oslo.db's
        own with SQLite in /var/lib/membuddies as the default, or a SQLAlchemy URL
    :ivar url: to be shown: without password and parameters
    :raises ConfigurationError: if the URL cannot be read or its driver is missing
    """

    def __init__(self, source: cfg.ConfigOpts | str) -> None:
        settings: dict[str, Any]
        if isinstance(source, str):
            settings = {"connection": source, "max_retries": 0}
        else:
            register_options(source)
            settings = dict(source[GROUP])
        try:
            url = sqlalchemy.make_url(settings["connection"])
            self._backend = url.get_backend_name()
            url.get_dialect().import_dbapi()
        except ImportError as error:
            raise exceptions.ConfigurationError(
                f"[database] connection names a driver that is not installed "
                f"({error}); for MariaDB use mysql+pymysql://"
            ) from None
        except (sqlalchemy.exc.ArgumentError, ValueError):
            # Without the value: a password may be in it.
            raise exceptions.ConfigurationError(
                "[database] connection is no SQLAlchemy URL such as "
                "mysql+pymysql://USER:PASSWORD@HOST/membuddies"
            ) from None
        self.url = url.set(query={}).render_as_string(hide_password=True)
        for name, value in _URL_DEFAULTS.get(self._backend, {}).items():
            if name not in url.query:
                url = url.update_query_dict({name: value})
        settings["connection"] = url.render_as_string(hide_password=False)
        self._facade = enginefacade.transaction_context()
        self._facade.configure(**settings)
        self._facade.append_on_engine_create(_begin_as_asked)
        self._facade.append_on_engine_create(_end_stalled_transactions)

    @contextlib.contextmanager
    def reader(self) -> Iterator[Session]:
        """A session that sees one state of the database and writes nothing.

        :raises DatabaseUnavailableError: if the server does not answer
        :raises SchemaError: if a table is missing
        """
        with self._errors(), self._facade.reader.using(_Context()) as session:
            yield session

    @contextlib.contextmanager
    def writer(self) -> Iterator[Session]:
        """A session that commits at the end, or rolls back for an exception.

        Blocks of one thread do not nest: the inner one would wait for the outer.

        :raises DatabaseUnavailableError: if the server does not answer; if it
            went away during the commit, all or nothing is written
        :raises SchemaError: if a table is missing
        """
        with self._errors(), self._writer() as session:
            yield session

    def write(self, function: Callable[[Session], _Result]) -> _Result:
        """Call a function with a writer's session, again after a deadlock.

        A function of which two may run at once belongs in here: the database
        ends one of two transactions that wait for each other.

        :raises DatabaseUnavailableError: as ``writer``, without another try; or
            if all tries ended in a deadlock
        """

        @oslo_db_api.wrap_db_retry(
            max_retries=_DEADLOCK_RETRIES, retry_interval=0.05, retry_on_deadlock=True
        )
        def attempt() -> _Result:
            with self._writer() as session:
                return function(session)

        with self._errors():
            return attempt()

    @contextlib.contextmanager
    def connection(self) -> Iterator[sqlalchemy.Connection]:
        """A bare connection, in no transaction yet, for the migrations.

        :raises DatabaseUnavailableError: if the server does not answer
        """
        with self._errors():
            engine = self._facade.writer.get_engine()
            with engine.connect() as connection:
                yield connection

    def close(self) -> None:
        """Close the connections that nobody uses; it may be used again."""
        self._facade.dispose_pool()

    @contextlib.contextmanager
    def _writer(self) -> Iterator[Session]:
        with self._facade.writer.using(_Context()) as session:
            if self._backend == "mysql":
                session.execute(_MARIADB_WRITER)
            elif self._backend == "sqlite":
                session.connection(execution_options=_SQLITE_WRITER)
            yield session

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Say in one line what an operator can do something about."""
        try:
            yield
        except oslo_db_exception.DBNonExistentTable as error:
            raise SchemaError(self.url, _cause(error.inner_exception)) from error
        except (
            oslo_db_exception.DBConnectionError,
            oslo_db_exception.DBNonExistentDatabase,
            oslo_db_exception.DBDeadlock,
        ) as error:
            cause = _cause(error.inner_exception)
            raise DatabaseUnavailableError(self.url, cause) from error
        except sqlalchemy.exc.OperationalError as error:
            raise DatabaseUnavailableError(self.url, _cause(error)) from error
        except sqlalchemy.exc.ProgrammingError as error:
            # oslo.db knows the words of other servers, not MariaDB's.
            if error.orig is None or error.orig.args[:1] != (_NO_SUCH_TABLE,):
                raise
            raise SchemaError(self.url, _cause(error)) from error


def register_options(conf: cfg.ConfigOpts) -> None:
    """Make ``[database]`` known with our defaults; more than once does no harm.

    A server that is away at the start is as good as one that goes away later,
    and who asks decides how long to wait: so no retries at the start.
    """
    oslo_db_options.set_defaults(conf, DEFAULT_CONNECTION)
    conf.set_default("max_retries", 0, group=GROUP)


def _begin_as_asked(engine: sqlalchemy.Engine) -> None:
    """Let a transaction on SQLite begin as ``_SQLITE_WRITER`` says."""
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def replace_begin(
        connection: sqlalchemy.Connection,
        _cursor: object,
        statement: str,
        parameters: object,
        *_others: object,
    ) -> tuple[str, object]:
        # oslo.db sends it itself, as the driver would begin too late.
        if statement == "BEGIN":
            options = connection.get_execution_options()
            statement = options.get(_SQLITE_BEGIN, statement)
        return statement, parameters


def _end_stalled_transactions(engine: sqlalchemy.Engine) -> None:
    """Let MariaDB end a transaction whose client stalls; MySQL cannot."""
    if engine.dialect.name != "mysql":
        return

    @event.listens_for(engine, "connect")
    def limit(connection: Any, _record: object) -> None:
        if "mariadb" not in connection.get_server_info().lower():
            return
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute(
                f"SET SESSION idle_transaction_timeout = {IDLE_IN_TRANSACTION_SECONDS}"
            )


def _cause(error: object) -> str:
    """The driver's own words, without the statement that failed."""
    words = getattr(error, "orig", None) or error
    args = getattr(words, "args", ())
    return str(args[-1] if args else words).splitlines()[0]
