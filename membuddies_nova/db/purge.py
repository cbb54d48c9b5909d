# SPDX-License-Identifier: Apache-2.0
"""Removing what nobody needs any more.

For ``membuddies-manage db purge``. Removes old plans that have ended, and what
is kept of guests, hosts and services that have vanished. It removes nothing on
the word of an inventory that was never read.
"""

import dataclasses

import sqlalchemy
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from membuddies_nova.db import inventory, models, moves, plans, rows


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """How many rows of each kind were removed."""

    plans: int
    moves: int
    fingerprints: int
    held_fingerprints: int
    reports: int
    services: int


def purge(session: Session, before: float) -> Purged:
    """Remove what has been over since a moment.

    :param before: plans that ended, and fingerprints, reports and signs of life
        that came last, before this are removed
    """
    ended = select(models.Plan.id).where(
        models.Plan.state.in_(plans.ENDED), models.Plan.ended_at < before
    )
    # A plan may have ended before its last move has: it stays until then.
    ended = ended.where(
        models.Plan.id.not_in(
            select(models.Move.plan_id).where(models.Move.state.in_(moves.OPEN))
        )
    )
    plan_ids = session.scalars(ended).all()
    counts = {
        "moves": _remove(session, models.Move, models.Move.plan_id.in_(plan_ids)),
        "plans": _remove(session, models.Plan, models.Plan.id.in_(plan_ids)),
        "services": _remove(session, models.Service, models.Service.beat_at < before),
        "held_fingerprints": _remove(
            session, models.HeldFingerprint, models.HeldFingerprint.held_at < before
        ),
        "fingerprints": 0,
        "reports": 0,
    }
    if inventory.state(session).read_at is not None:
        counts["fingerprints"] = _remove(
            session,
            models.Fingerprint,
            models.Fingerprint.guest.not_in(select(models.Guest.uuid)),
            models.Fingerprint.scanned_at < before,
        )
        counts["reports"] = _remove(
            session,
            models.Report,
            models.Report.host.not_in(select(models.Host.name)),
            models.Report.received_at < before,
        )
    return Purged(**counts)


def _remove(
    session: Session,
    model: type[models.Base],
    *conditions: sqlalchemy.ColumnElement[bool],
) -> int:
    return rows.changed(session, delete(model).where(*conditions))
