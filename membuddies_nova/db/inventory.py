# SPDX-License-Identifier: Apache-2.0
"""Nova's word on hosts and guests, and Glance's on images, as last read.

Written by the inventory reader, read by all others. What is kept is always one
whole reading: while Nova is away the last good one stays, with its age.
"""

import dataclasses
import math
from collections.abc import Iterable

import sqlalchemy
from sqlalchemy import select
from sqlalchemy.orm import Session

from membuddies_nova.cluster import Guest, Host, Image, KsmState
from membuddies_nova.db import models, rows, values
from membuddies_nova.facts import FINGERPRINT_SOURCE_KEY, HostFacts, Source
from membuddies_nova.fingerprint.page import PAGE_SIZE

REPORT_AGE_LIMIT_SECONDS = 300.0
"""A report older than this says nothing of its host's present."""

_ROW = 1
# A guest's age is read to the second, by clocks that do not quite agree.
_SAME_LAUNCH_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InventoryState:
    """How fresh the inventory is.

    :ivar read_at: when the kept one was read, None if none ever was
    :ivar attempted_at: when reading was last tried
    :ivar error: why the last try failed, None if it did not
    """

    read_at: float | None
    attempted_at: float | None
    error: str | None


def replace(
    session: Session,
    hosts: Iterable[Host],
    guests: Iterable[Guest],
    now: float,
    images: Iterable[Image] = (),
) -> bool:
    """Keep a new reading instead of the last one.

    A guest on another host than before was moved just now, unless it says itself
    when (``last_moved_seconds``).

    :param now: when the reading was begun
    :return: false if a reading begun later is kept already
    """
    # First of all statements, because it makes other readers wait.
    newer = (
        sqlalchemy.update(models.InventoryRead)
        .where(
            models.InventoryRead.id == _ROW,
            sqlalchemy.or_(
                models.InventoryRead.read_at.is_(None),
                models.InventoryRead.read_at <= now,
            ),
        )
        .values(read_at=now, attempted_at=now, error=None)
    )
    if not rows.changed(session, newer):
        return False
    _replace_hosts(session, {host.name: host for host in hosts})
    _replace_guests(session, {guest.uuid: guest for guest in guests}, now)
    _replace_images(session, {image.id: image for image in images})
    return True


def failed(session: Session, error: str, now: float) -> None:
    """Remember that reading was tried in vain; the last reading stays."""
    rows.changed(
        session,
        sqlalchemy.update(models.InventoryRead)
        .where(models.InventoryRead.id == _ROW)
        .values(attempted_at=now, error=error),
    )


def state(session: Session) -> InventoryState:
    """How fresh the inventory is."""
    row = session.scalars(select(models.InventoryRead)).one()
    return InventoryState(
        read_at=row.read_at, attempted_at=row.attempted_at, error=row.error
    )


def hosts(
    session: Session,
    now: float,
    report_age_limit_seconds: float = REPORT_AGE_LIMIT_SECONDS,
) -> list[Host]:
    """All hosts by name, with what their newest reports say.

    A host without a report, or with one that is too old, has unknown KSM,
    pressure and available memory.
    """
    reports = {
        host: HostFacts.from_json(facts)
        for host, facts in session.execute(
            select(models.Report.host, models.Report.facts).where(
                models.Report.received_at >= now - report_age_limit_seconds
            )
        )
    }
    found = session.scalars(select(models.Host).order_by(models.Host.name))
    return [_host(row, reports.get(row.name)) for row in found]


def guests(session: Session, now: float) -> list[Guest]:
    """All guests by uuid, placed or not."""
    found = session.scalars(select(models.Guest).order_by(models.Guest.uuid))
    return [
        values.guest_from_json(
            row.facts,
            uuid=row.uuid,
            host=row.host,
            age_seconds=_age(row.launched_at, now),
            last_moved_seconds=_age(row.last_moved_at, now),
        )
        for row in found
    ]


def images(session: Session) -> list[Image]:
    """The images of which more is known than their id, by id."""
    found = session.scalars(select(models.Image).order_by(models.Image.id))
    return [values.image_from_json(row.id, row.facts) for row in found]


def sources_on(session: Session, host: str) -> dict[str, Source]:
    """Who shall read the memory of a host's guests, by uuid, where that is said."""
    found = session.execute(
        select(models.Guest.uuid, models.Guest.facts).where(models.Guest.host == host)
    )
    said = {
        uuid: Source.of_text(facts.get("extra_specs", {}).get(FINGERPRINT_SOURCE_KEY))
        for uuid, facts in found
    }
    return {uuid: source for uuid, source in said.items() if source is not None}


def _host(row: models.Host, report: HostFacts | None) -> Host:
    if report is None:
        return values.host_from_json(row.facts, ksm=KsmState.UNKNOWN)
    sharing_pages = report.ksm.pages_sharing
    return values.host_from_json(
        row.facts,
        ksm=report.ksm.state,
        pressure=report.memory_pressure,
        available_mb=report.mem_available_bytes // 2**20,
        # At least two: nobody with one node says that KSM shall not cross it.
        numa_nodes=2 if report.ksm.merge_across_nodes == 0 else 1,
        sharing_mb=(
            None
            if sharing_pages is None
            else math.ceil(sharing_pages * PAGE_SIZE / 2**20)
        ),
        swap_in_pages_per_second=report.swap_in_pages_per_second,
    )


def _replace_hosts(session: Session, named: dict[str, Host]) -> None:
    kept = {row.name: row for row in session.scalars(select(models.Host))}
    for name in kept.keys() - named.keys():
        session.delete(kept[name])
    for name, host in named.items():
        facts = values.host_to_json(host)
        if name not in kept:
            session.add(models.Host(name=name, facts=facts))
        elif kept[name].facts != facts:
            kept[name].facts = facts
    session.flush()


def _replace_guests(session: Session, named: dict[str, Guest], now: float) -> None:
    kept = {row.uuid: row for row in session.scalars(select(models.Guest))}
    for uuid in kept.keys() - named.keys():
        session.delete(kept[uuid])
    for uuid, guest in named.items():
        launched_at = _moment(guest.age_seconds, now)
        moved_at = _moment(guest.last_moved_seconds, now)
        facts = values.guest_to_json(guest)
        row = kept.get(uuid)
        if row is None:
            session.add(
                models.Guest(
                    uuid=uuid,
                    host=guest.host,
                    facts=facts,
                    launched_at=launched_at,
                    last_moved_at=moved_at,
                )
            )
            continue
        # A guest that had no host was placed, not moved.
        if moved_at is None and row.host and guest.host and guest.host != row.host:
            moved_at = now
        if moved_at is not None and moved_at > (row.last_moved_at or 0.0):
            row.last_moved_at = moved_at
        row.host = guest.host
        if row.facts != facts:
            row.facts = facts
        if not _same_moment(row.launched_at, launched_at):
            row.launched_at = launched_at
    session.flush()


def _replace_images(session: Session, named: dict[str, Image]) -> None:
    kept = {row.id: row for row in session.scalars(select(models.Image))}
    for image in kept.keys() - named.keys():
        session.delete(kept[image])
    for image, value in named.items():
        facts = values.image_to_json(value)
        if image not in kept:
            session.add(models.Image(id=image, facts=facts))
        elif kept[image].facts != facts:
            kept[image].facts = facts
    session.flush()


def _moment(age_seconds: float | None, now: float) -> float | None:
    return None if age_seconds is None else now - age_seconds


def _age(moment: float | None, now: float) -> float | None:
    return None if moment is None else max(0.0, now - moment)


def _same_moment(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    return abs(left - right) < _SAME_LAUNCH_SECONDS
