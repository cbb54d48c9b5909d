# SPDX-License-Identifier: Apache-2.0
"""Leases: which one process may do what only one may do.

The row alone decides, by compare-and-set. A holder that does not renew in time
loses it, dead or not, so clocks must agree to a fraction of the lease.
"""

import sqlalchemy
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from membuddies_nova.db import models, rows

_ROW = models.Lease


def acquire_or_renew(
    session: Session, name: str, holder: str, now: float, ttl_seconds: float
) -> bool:
    """Take a lease that is ours, free or expired, until ``now + ttl_seconds``.

    :return: whether it is ours now
    """
    values = {"holder": holder, "expires_at": now + ttl_seconds}
    free = or_(_ROW.holder == holder, _ROW.expires_at <= now)
    taken = sqlalchemy.update(_ROW).where(_ROW.name == name, free).values(**values)
    return rows.changed(session, taken) > 0 or (
        session.get(_ROW, name) is None
        and rows.insert_if_absent(
            session, sqlalchemy.insert(_ROW).values(name=name, **values)
        )
    )


def release(session: Session, name: str, holder: str) -> bool:
    """Give a lease up for others to take at once, false if it is not ours."""
    ours = sqlalchemy.delete(_ROW).where(_ROW.name == name, _ROW.holder == holder)
    return rows.changed(session, ours) > 0


def holder(session: Session, name: str, now: float) -> str | None:
    """Who holds a lease, None if nobody does."""
    return session.scalar(
        select(_ROW.holder).where(_ROW.name == name, _ROW.expires_at > now)
    )
