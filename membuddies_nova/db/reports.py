# SPDX-License-Identifier: Apache-2.0
"""The newest report of each host's agent.

Written by controllers; read for the inventory's hosts and for the operator.
"""

import dataclasses
from collections.abc import Iterable

import sqlalchemy
from sqlalchemy import select
from sqlalchemy.orm import Session

from membuddies_nova.db import models, rows, values
from membuddies_nova.facts import GuestFacts, HostFacts


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """What an agent told last.

    :ivar started: when the agent started, in milliseconds since the epoch
    :ivar received_at: when a controller had it
    """

    host: str
    started: int
    received_at: float
    facts: HostFacts
    guests: tuple[GuestFacts, ...]


def store(
    session: Session,
    host: str,
    started: int,
    facts: HostFacts,
    guests: Iterable[GuestFacts],
    now: float,
) -> bool:
    """Keep a report instead of the host's last one.

    :return: false if it is of an agent that another has replaced since
    """
    row = {
        "started": started,
        "received_at": now,
        "facts": facts.to_json(),
        "guests": [dataclasses.asdict(guest) for guest in guests],
    }
    newer = (
        sqlalchemy.update(models.Report)
        .where(models.Report.host == host, models.Report.started <= started)
        .values(**row)
    )
    insert = sqlalchemy.insert(models.Report).values(host=host, **row)
    return (
        rows.changed(session, newer) > 0
        or rows.insert_if_absent(session, insert)
        or rows.changed(session, newer) > 0
    )


def facts(session: Session, host: str) -> HostFacts | None:
    """What a host's agent told last of the host, None if it never did."""
    found = session.scalar(
        select(models.Report.facts).where(models.Report.host == host)
    )
    return None if found is None else HostFacts.from_json(found)


def all(session: Session) -> list[HostReport]:
    """The newest report of every host, by host."""
    found = session.scalars(select(models.Report).order_by(models.Report.host))
    return [
        HostReport(
            host=row.host,
            started=row.started,
            received_at=row.received_at,
            facts=HostFacts.from_json(row.facts),
            guests=tuple(values.guest_facts_from_json(guest) for guest in row.guests),
        )
        for row in found
    ]
