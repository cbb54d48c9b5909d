# SPDX-License-Identifier: Apache-2.0
"""Fingerprints from hosts on which Nova does not see the guest (yet).

An incoming migration, an unconfirmed resize, a guest younger than the last
inventory. Written by controllers, settled by whoever has renewed the inventory;
nothing else ever reads them.
"""

import dataclasses
import enum
from collections.abc import Sequence

import sqlalchemy
from sqlalchemy import select
from sqlalchemy.orm import Session

from membuddies_nova.db import fingerprints, models, rows
from membuddies_nova.facts import Number

_ROW = models.HeldFingerprint


class HoldOutcome(enum.StrEnum):
    """What became of a fingerprint that was to be held."""

    HELD = "held"
    DUPLICATE = "duplicate"
    OLDER = "older"
    FULL = "full"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Whose fingerprint was held, and since when."""

    guest: str
    host: str
    held_at: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of held fingerprints.

    :ivar stored: Nova sees the guest on that host now
    :ivar dropped: it still does not, a whole period later
    """

    stored: tuple[Held, ...]
    dropped: tuple[Held, ...]


def hold(
    session: Session,
    guest: str,
    host: str,
    number: Number,
    digest: str,
    body: bytes,
    scanned_at: float,
    now: float,
) -> HoldOutcome:
    """Keep a fingerprint aside; a newer one of the guest there takes its place.

    A newer one does not prolong the time for which the guest is held. To be
    called in :meth:`~membuddies_nova.db.api.Database.write`.

    :return: ``FULL`` if the host has too many held already
    :raises FingerprintError: for a body that is too large
    """
    fingerprints.require_size(body)
    values = {
        "started": number.started,
        "counter": number.counter,
        "digest": digest,
        "scanned_at": scanned_at,
        "body": body,
    }
    known = session.execute(
        select(_ROW.started, _ROW.counter, _ROW.digest).where(
            _ROW.guest == guest, _ROW.host == host
        )
    ).one_or_none()
    if known is not None:
        newest = Number(known.started, known.counter)
        if number <= newest:
            same = (number, digest) == (newest, known.digest)
            return HoldOutcome.DUPLICATE if same else HoldOutcome.OLDER
        replaced = rows.changed(
            session,
            sqlalchemy.update(_ROW)
            .where(
                _ROW.guest == guest,
                _ROW.host == host,
                _ROW.started == known.started,
                _ROW.counter == known.counter,
            )
            .values(**values),
        )
        return HoldOutcome.HELD if replaced else HoldOutcome.OLDER
    if fingerprints.held_count(session, host) >= fingerprints.MAX_HELD_A_HOST:
        return HoldOutcome.FULL
    inserted = rows.insert_if_absent(
        session,
        sqlalchemy.insert(_ROW).values(guest=guest, host=host, held_at=now, **values),
    )
    return HoldOutcome.HELD if inserted else HoldOutcome.OLDER


def settle(session: Session, now: float, period_seconds: float) -> Settled:
    """Store what Nova has confirmed meanwhile, drop what it has not in time.

    To be called in :meth:`~membuddies_nova.db.api.Database.write` after each
    renewal of the inventory.

    :param period_seconds: how long to hold: one inventory period
    """
    confirmed = session.execute(
        select(_ROW.guest, _ROW.host)
        .join(
            models.Guest,
            (models.Guest.uuid == _ROW.guest) & (models.Guest.host == _ROW.host),
        )
        .order_by(_ROW.guest)
    ).all()
    stored = []
    for guest, host in confirmed:
        # One body at a time: together they may be many.
        row = session.scalars(
            select(_ROW).where(_ROW.guest == guest, _ROW.host == host)
        ).one_or_none()
        if row is None:
            continue
        fingerprints.store(
            session,
            guest,
            host,
            Number(row.started, row.counter),
            row.digest,
            row.body,
            row.scanned_at,
            now,
        )
        stored.append(Held(guest=guest, host=host, held_at=row.held_at))
        session.expunge(row)
    _delete(session, stored)
    dropped = [
        Held(guest=guest, host=host, held_at=held_at)
        for guest, host, held_at in session.execute(
            select(_ROW.guest, _ROW.host, _ROW.held_at)
            .where(_ROW.held_at <= now - period_seconds)
            .order_by(_ROW.host, _ROW.guest)
        )
    ]
    _delete(session, dropped)
    return Settled(stored=tuple(stored), dropped=tuple(dropped))


def _delete(session: Session, gone: Sequence[Held]) -> None:
    for held in gone:
        rows.changed(
            session,
            sqlalchemy.delete(_ROW).where(
                _ROW.guest == held.guest, _ROW.host == held.host
            ),
        )
