# SPDX-License-Identifier: Apache-2.0
"""The newest fingerprint of each guest.

Written by controllers, read by all. The newest from the host that Nova names
wins; what comes late, twice, or from another host changes nothing. Bodies are
bytes here: nothing is decoded, and each is written once.

Every stored fingerprint gets a higher ``sequence`` than all before it, so that a
reader can ask for what has changed since it last looked.
"""

import dataclasses
import enum
from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from membuddies_nova import exceptions
from membuddies_nova.db import models, rows
from membuddies_nova.facts import Cause, GuestFacts, Number, Wanted

MAX_BODY_BYTES = 2**23 - 4096
"""A larger body is refused: PyMySQL sends it as hexadecimal digits, which with the
statement around them must fit the 16 MiB that MariaDB takes by default."""

MAX_HELD_A_HOST = 1000
"""Held fingerprints of one host at most, whatever its agent sends."""

_SEQUENCE = "fingerprints"

_ROW = models.Fingerprint


class StoreOutcome(enum.StrEnum):
    """What became of a fingerprint that was to be stored."""

    STORED = "stored"
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"
    OLDER = "older"
    ELSEWHERE = "elsewhere"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredFingerprint:
    """A fingerprint with its body.

    :ivar scanned_at: when the agent scanned it, or last found it unchanged
    :ivar sequence: higher than that of all stored before
    """

    guest: str
    host: str
    number: Number
    digest: str
    body: bytes
    scanned_at: float
    sequence: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FingerprintSummary:
    """A stored fingerprint without its body, see :class:`StoredFingerprint`."""

    guest: str
    host: str
    number: Number
    digest: str
    body_bytes: int
    scanned_at: float
    stored_at: float
    sequence: int


def store(
    session: Session,
    guest: str,
    host: str,
    number: Number,
    digest: str,
    body: bytes,
    scanned_at: float,
    now: float,
) -> StoreOutcome:
    """Keep a fingerprint if it is the newest from the host that Nova names.

    Within a host the higher number is newer; another host's numbers say nothing,
    so the first from the guest's new host replaces what the old one sent. The
    same digest from the same host only renews number and ``scanned_at``, and with
    the same number it is a duplicate, which changes nothing.

    To be called in :meth:`~membuddies_nova.db.api.Database.write`: any number of
    controllers may store the same guest at once.

    :return: ``ELSEWHERE`` if Nova does not see the guest on that host
    :raises FingerprintError: for a body that is too large
    """
    require_size(body)
    outcome, _ = _judge(session, guest, host, number, digest)
    if outcome is StoreOutcome.STORED:
        # From here to the commit no other fingerprint is stored, anywhere, so the
        # second judgement is final. Only a number may still rise, by _renew.
        _raise_sequence(session)
        outcome, known = _judge(session, guest, host, number, digest)
    if outcome is StoreOutcome.UNCHANGED:
        _renew(session, guest, host, number, digest, scanned_at)
    if outcome is not StoreOutcome.STORED or known is None:
        return outcome
    values = {
        "host": host,
        "started": number.started,
        "counter": number.counter,
        "digest": digest,
        "scanned_at": scanned_at,
        "stored_at": now,
        "sequence": known.newest,
        "body_bytes": len(body),
        "body": body,
    }
    if known.host is None:
        session.execute(sqlalchemy.insert(_ROW).values(guest=guest, **values))
        return StoreOutcome.STORED
    replaces = or_(_ROW.host != host, _before(number))
    statement = update(_ROW).where(_ROW.guest == guest, replaces).values(**values)
    replaced = rows.changed(session, statement) > 0
    return StoreOutcome.STORED if replaced else StoreOutcome.OLDER


def confirm(
    session: Session, host: str, started: int, guests: Iterable[GuestFacts]
) -> None:
    """Take note of the unchanged fingerprints that a report names.

    Only of guests that Nova sees on the host: of others it has nothing to say. Their
    numbers are remembered, else one made in between could come late and count as
    newer. Costs nothing for guests whose number is known.

    :param started: when the reporting agent started, as in its numbers
    """
    reported = {facts.uuid: facts for facts in guests if facts.counter is not None}
    known = session.execute(
        select(_ROW.guest, _ROW.started, _ROW.counter, _ROW.digest)
        .join(models.Guest, models.Guest.uuid == _ROW.guest)
        .where(_ROW.guest.in_(reported), _ROW.host == host, models.Guest.host == host)
    ).all()
    for guest, known_started, known_counter, digest in known:
        facts = reported[guest]
        number = Number(started, facts.counter or 0)
        if (
            facts.digest == digest
            and facts.scanned_at is not None
            and number > Number(known_started, known_counter)
        ):
            _renew(session, guest, host, number, digest, facts.scanned_at)


def wanted(
    session: Session, host: str, guests: Iterable[GuestFacts], expired_before: float
) -> list[Wanted]:
    """Of a report's guests those whose fingerprint is wanted, in its order.

    These are the guests that Nova sees on the host, or does not know yet, whose
    digest differs from what is stored or held from that host, or whose stored
    one comes from a scan too long ago. Of those that Nova does not know none is
    wanted while the host has its fill of held ones.

    :param expired_before: a scan before this moment is too long ago
    """
    reported = {facts.uuid: facts.digest for facts in guests if facts.digest}
    if not reported:
        return []
    placed = {
        row.uuid: row.host
        for row in session.execute(
            select(models.Guest.uuid, models.Guest.host).where(
                models.Guest.uuid.in_(reported)
            )
        )
    }
    # By guest, when each fingerprint that is there was scanned, by its digest.
    kept: dict[str, dict[str, float]] = {}
    for table in (_ROW, models.HeldFingerprint):
        for guest, digest, scanned_at in session.execute(
            select(table.guest, table.digest, table.scanned_at).where(
                table.guest.in_(reported), table.host == host
            )
        ):
            kept.setdefault(guest, {})[digest] = scanned_at
    unknown: str | None = host
    if len(placed) < len(reported) and held_count(session, host) >= MAX_HELD_A_HOST:
        unknown = None
    found = []
    for guest, digest in reported.items():
        if placed.get(guest, unknown) != host:
            continue
        if guest not in kept:
            found.append(Wanted(guest, Cause.UNKNOWN))
        elif digest not in kept[guest]:
            found.append(Wanted(guest, Cause.DIFFERS))
        elif kept[guest][digest] < expired_before:
            found.append(Wanted(guest, Cause.EXPIRED))
    return found


def held_count(session: Session, host: str) -> int:
    """How many fingerprints of a host are held, see :mod:`.held`."""
    held = select(sqlalchemy.func.count()).select_from(models.HeldFingerprint)
    return session.scalars(held.where(models.HeldFingerprint.host == host)).one()


def summaries(session: Session) -> list[FingerprintSummary]:
    """All stored fingerprints by guest, without their bodies."""
    found = session.execute(
        select(
            _ROW.guest,
            _ROW.host,
            _ROW.started,
            _ROW.counter,
            _ROW.digest,
            _ROW.body_bytes,
            _ROW.scanned_at,
            _ROW.stored_at,
            _ROW.sequence,
        ).order_by(_ROW.guest)
    )
    return [
        FingerprintSummary(
            guest=row.guest,
            host=row.host,
            number=Number(row.started, row.counter),
            digest=row.digest,
            body_bytes=row.body_bytes,
            scanned_at=row.scanned_at,
            stored_at=row.stored_at,
            sequence=row.sequence,
        )
        for row in found
    ]


def changed_since(session: Session, sequence: int) -> list[StoredFingerprint]:
    """All fingerprints stored after one with that sequence, oldest first.

    With 0 all there are. No one is missed: a lower sequence than one that was
    read never appears later. Deleted ones are not told of; compare with the
    inventory's guests.
    """
    found = session.scalars(
        select(_ROW).where(_ROW.sequence > sequence).order_by(_ROW.sequence)
    )
    return [
        StoredFingerprint(
            guest=row.guest,
            host=row.host,
            number=Number(row.started, row.counter),
            digest=row.digest,
            body=row.body,
            scanned_at=row.scanned_at,
            sequence=row.sequence,
        )
        for row in found
    ]


def newest_sequence(session: Session) -> int:
    """The highest sequence so far, 0 if nothing was ever stored."""
    return session.scalars(_newest_sequence()).one()


def scanned_before(session: Session, moment: float) -> set[str]:
    """The guests whose fingerprint was last found by a scan before a moment."""
    return set(session.scalars(select(_ROW.guest).where(_ROW.scanned_at < moment)))


def bodies(session: Session, guests: Collection[str]) -> dict[str, bytes]:
    """The stored bodies of some guests, by guest."""
    found = session.execute(select(_ROW.guest, _ROW.body).where(_ROW.guest.in_(guests)))
    return {row.guest: row.body for row in found}


def require_size(body: bytes) -> None:
    """Refuse what the database would not take.

    :raises FingerprintError: for a body that is too large
    """
    if len(body) > MAX_BODY_BYTES:
        raise exceptions.FingerprintError(
            f"a fingerprint of {len(body)} bytes is not stored, only up to "
            f"{MAX_BODY_BYTES}"
        )


def _newest_sequence() -> sqlalchemy.Select[tuple[int]]:
    return select(models.Sequence.value).where(models.Sequence.name == _SEQUENCE)


def _raise_sequence(session: Session) -> None:
    """Take the next one; other writers wait here for this transaction's end."""
    rows.changed(
        session,
        update(models.Sequence)
        .where(models.Sequence.name == _SEQUENCE)
        .values(value=models.Sequence.value + 1),
    )


def _judge(
    session: Session, guest: str, host: str, number: Number, digest: str
) -> tuple[StoreOutcome, sqlalchemy.Row[Any] | None]:
    """What storing comes to by what is committed, and what that is.

    One question, because it is asked while others wait.

    :return: of a guest that Nova knows, host, number and digest of what is stored,
        each None if nothing is, and the newest sequence
    """
    known = session.execute(
        select(
            models.Guest.host.label("placed"),
            _ROW.host,
            _ROW.started,
            _ROW.counter,
            _ROW.digest,
            _newest_sequence().scalar_subquery().label("newest"),
        )
        .outerjoin(_ROW, _ROW.guest == models.Guest.uuid)
        .where(models.Guest.uuid == guest)
    ).one_or_none()
    if known is None or known.placed != host:
        return StoreOutcome.ELSEWHERE, known
    if known.host != host:
        return StoreOutcome.STORED, known
    newest = Number(known.started, known.counter)
    if number >= newest and digest == known.digest:
        same = number == newest
        return StoreOutcome.DUPLICATE if same else StoreOutcome.UNCHANGED, known
    return (StoreOutcome.STORED if number > newest else StoreOutcome.OLDER), known


def _renew(
    session: Session,
    guest: str,
    host: str,
    number: Number,
    digest: str,
    scanned_at: float,
) -> None:
    rows.changed(
        session,
        update(_ROW)
        .where(
            _ROW.guest == guest,
            _ROW.host == host,
            _ROW.digest == digest,
            _before(number),
        )
        .values(started=number.started, counter=number.counter, scanned_at=scanned_at),
    )


def _before(number: Number) -> sqlalchemy.ColumnElement[bool]:
    return or_(
        _ROW.started < number.started,
        sqlalchemy.and_(_ROW.started == number.started, _ROW.counter < number.counter),
    )
