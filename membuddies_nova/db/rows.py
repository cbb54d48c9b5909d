# SPDX-License-Identifier: Apache-2.0
"""Writing one row that another process may write at the same moment.

For the other modules of this package. In plain SQL, so that every server that
SQLAlchemy knows does the same.
"""

from typing import Any

import sqlalchemy
from oslo_db import exception as oslo_db_exception
from sqlalchemy import Insert, Update
from sqlalchemy.orm import Session

from membuddies_nova.db.models import Base


def changed(session: Session, statement: Update | sqlalchemy.Delete) -> int:
    """Execute a conditional UPDATE or DELETE: how many rows met the condition."""
    result = session.execute(statement)
    return int(result.rowcount)  # type: ignore[attr-defined]


def insert_if_absent(session: Session, statement: Insert) -> bool:
    """Execute an INSERT, false if a row with its key exists.

    The savepoint lets the transaction live on after the server refused the row.
    """
    try:
        with session.begin_nested():
            session.execute(statement)
    except oslo_db_exception.DBDuplicateEntry:
        return False
    return True


def put(
    session: Session, model: type[Base], key: dict[str, Any], **values: Any
) -> None:
    """Write a row whether or not it exists; the last writer wins."""
    update = sqlalchemy.update(model).filter_by(**key).values(**values)
    insert = sqlalchemy.insert(model).values(**key, **values)
    if not changed(session, update) and not insert_if_absent(session, insert):
        changed(session, update)
