# SPDX-License-Identifier: Apache-2.0
"""What became of earlier moves and what agents saw, put beside the inventory.

For plans and for a move's last check. The inventory is Nova's word; that a plan
took a guest from a host, that Nova refused to move it, or that a device pins its
memory, is known from our own records.
"""

import dataclasses
from collections.abc import Iterable

from membuddies_nova.cluster import Guest
from membuddies_nova.db import moves, reports
from membuddies_nova.db.api import Session
from membuddies_nova.facts import Reason
from membuddies_nova.planner import Limits

REFUSED = "refused by Nova: "
"""How the detail of a move begins that Nova would not start."""

_LATEST_MOVES = 10_000


def recorded(
    session: Session,
    guests: Iterable[Guest],
    limits: Limits,
    now: float,
    *,
    apart_from: str | None = None,
) -> list[Guest]:
    """The guests with what is recorded of them.

    :param apart_from: id of a plan whose own moves do not count
    """
    since = now - max(limits.cycle_seconds, limits.refused_seconds)
    left: dict[str, dict[str, float]] = {}
    refused: dict[str, float] = {}
    ended: set[str] = set()
    for record in moves.finished(session, since=since, limit=_LATEST_MOVES):
        if record.plan_id == apart_from or record.finished_at is None:
            continue
        guest, age = record.move.guest, max(now - record.finished_at, 0.0)
        if record.state == "done" and record.move.source is not None:
            left.setdefault(guest, {}).setdefault(record.move.source, age)
        elif record.state == "failed" and record.detail.startswith(REFUSED):
            # The newest comes first: what was moved since is not refused.
            if guest not in ended:
                refused[guest] = age
        else:
            continue
        ended.add(guest)
    pinned = {
        facts.uuid
        for report in reports.all(session)
        for facts in report.guests
        if facts.reason is Reason.PINNED
    }
    return [
        dataclasses.replace(
            guest,
            left_hosts=left.get(guest.uuid, {}),
            refused_seconds=refused.get(guest.uuid),
            pinned_memory=guest.uuid in pinned,
        )
        for guest in guests
    ]
