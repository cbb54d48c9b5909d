# SPDX-License-Identifier: Apache-2.0
"""What became of earlier moves and what agents saw, put beside the inventory.

For plans and for a move's last check. The inventory is Nova's word; that a plan
took a guest from a host, that Nova refused to move it, that a device pins its memory,
or how fast that changes, is known from our own records.
"""

import dataclasses
from collections.abc import Iterable

from membuddies_nova.cluster import Guest
from membuddies_nova.db import moves, reports
from membuddies_nova.db.api import Session
from membuddies_nova.facts import GuestFacts, Reason
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
        uuid, age = record.move.guest, max(now - record.finished_at, 0.0)
        if record.state == "done" and record.move.source is not None:
            left.setdefault(uuid, {}).setdefault(record.move.source, age)
        elif record.state == "failed" and record.detail.startswith(REFUSED):
            # The newest comes first: what was moved since is not refused.
            if uuid not in ended:
                refused[uuid] = age
        else:
            continue
        ended.add(uuid)
    told = {
        (report.host, facts.uuid): facts
        for report in reports.all(session)
        for facts in report.guests
    }
    found = []
    for guest in guests:
        # A host that it has left may still tell of it.
        facts = told.get((guest.host or "", guest.uuid), GuestFacts(uuid=guest.uuid))
        found.append(
            dataclasses.replace(
                guest,
                left_hosts=left.get(guest.uuid, {}),
                refused_seconds=refused.get(guest.uuid),
                pinned_memory=facts.reason is Reason.PINNED,
                change_fraction_per_hour=facts.change_fraction_per_hour,
            )
        )
    return found
