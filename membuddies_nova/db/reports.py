# SPDX-License-Identifier: Apache-2.0
"""The newest report of each host's agent.

Written by controllers; read for the inventory's hosts and for the operator.
"""

import dataclasses
import enum
from collections.abc import Iterable

import sqlalchemy
from sqlalchemy import select
from sqlalchemy.orm import Session

from membuddies_nova.db import models, rows, values
from membuddies_nova.facts import GuestFacts, HostFacts, Number

_ROW = models.Report


class ReportOutcome(enum.StrEnum):
    """What became of a report that was to be stored."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    OLDER = "older"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """What an agent told last.

    :ivar key_id: of the key that its agent uses, as hexadecimal digits
    :ivar received_at: when a controller had it
    """

    host: str
    number: Number
    key_id: str
    received_at: float
    facts: HostFacts
    guests: tuple[GuestFacts, ...]


def store(
    session: Session,
    host: str,
    number: Number,
    facts: HostFacts,
    guests: Iterable[GuestFacts],
    now: float,
    *,
    tag: str,
    key_id: str,
) -> ReportOutcome:
    """Keep a report instead of the host's last one, if it is newer.

    To be called in :meth:`~membuddies_nova.db.api.Database.write`: any number of
    controllers may be given the same report.

    :param tag: names the report as its agent sent it
    :return: ``DUPLICATE`` if that very report is stored already; it renews nothing
    """
    row = {
        "started": number.started,
        "counter": number.counter,
        "tag": tag,
        "key_id": key_id,
        "received_at": now,
        "facts": facts.to_json(),
        "guests": [dataclasses.asdict(guest) for guest in guests],
    }
    older = sqlalchemy.or_(
        _ROW.started < number.started,
        sqlalchemy.and_(_ROW.started == number.started, _ROW.counter < number.counter),
    )
    newer = sqlalchemy.update(_ROW).where(_ROW.host == host, older).values(**row)
    insert = sqlalchemy.insert(_ROW).values(host=host, **row)
    if (
        rows.changed(session, newer) > 0
        or rows.insert_if_absent(session, insert)
        or rows.changed(session, newer) > 0
    ):
        return ReportOutcome.STORED
    known = session.execute(
        select(_ROW.started, _ROW.counter, _ROW.tag).where(_ROW.host == host)
    ).one()
    same = (Number(known.started, known.counter), known.tag) == (number, tag)
    return ReportOutcome.DUPLICATE if same else ReportOutcome.OLDER


def facts(session: Session, host: str) -> HostFacts | None:
    """What a host's agent told last of the host, None if it never did."""
    found = session.scalar(select(_ROW.facts).where(_ROW.host == host))
    return None if found is None else HostFacts.from_json(found)


def all(session: Session) -> list[HostReport]:
    """The newest report of every host, by host."""
    found = session.scalars(select(_ROW).order_by(_ROW.host))
    return [
        HostReport(
            host=row.host,
            number=Number(row.started, row.counter),
            key_id=row.key_id,
            received_at=row.received_at,
            facts=HostFacts.from_json(row.facts),
            guests=tuple(values.guest_facts_from_json(guest) for guest in row.guests),
        )
        for row in found
    ]
