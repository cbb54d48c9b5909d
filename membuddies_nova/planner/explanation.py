# SPDX-License-Identifier: Apache-2.0
"""Why each guest of a plan moves or stays, for an operator who asks."""

import dataclasses
from typing import Any

from membuddies_nova.cluster import Guest, Host, Scope
from membuddies_nova.model.sharing import SharingModel
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.plan import Plan
from membuddies_nova.planner.draft import Draft
from membuddies_nova.planner.limits import Limits
from membuddies_nova.planner.rules import RULES
from membuddies_nova.planner.share import uncertain


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One guest after the plan, and the host that would suit it better.

    :ivar host: where it is after the plan, None if it found no host
    :ivar better_host: where it would save more memory, None if nowhere
    :ivar stopped_by: name of the rule that keeps it from there
    """

    guest: str
    host: str | None
    sentence: str
    zero_pages: int
    self_shared_pages: int
    inter_shared_pages: float
    better_host: str | None = None
    stopped_by: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values for the command line."""
        return dataclasses.asdict(self) | {
            "inter_shared_pages": round(self.inter_shared_pages)
        }


def explain(
    snapshot: ClusterSnapshot, planned: Plan, limits: Limits
) -> tuple[Explanation, ...]:
    """Explain a plan of the union strategy, guest by guest.

    :param snapshot: the one that the plan was made of, with its limits
    """
    model = SharingModel(snapshot, Scope(planned.scope), across_keys=True)
    draft = Draft(snapshot, model, dataclasses.replace(limits, max_moves=None), RULES)
    for move in planned.moves:
        draft.try_move(
            snapshot.guests_by_uuid[move.guest],
            snapshot.hosts_by_name[move.destination],
        )
    reasons = {
        move.guest: f"moves in wave {move.wave}: {move.reason}"
        for move in planned.moves
    }
    reasons |= {guest.guest: guest.reason for guest in planned.unplaced}
    return tuple(
        _explanation(draft, guest, reasons.get(guest.uuid)) for guest in snapshot.guests
    )


def _explanation(draft: Draft, guest: Guest, reason: str | None) -> Explanation:
    host = draft.occupancy.host_of(guest.uuid)
    parts = draft.model.breakdown([guest.uuid])
    inter = draft.occupancy.shared_pages(guest.uuid, host) if host is not None else 0.0
    better_host = stopped_by = None
    if reason is None:
        better = _better_host(draft, guest)
        if better is None:
            reason = f"no host would save more than {host}"
        else:
            better_host = better.name
            stop = draft.stop_of(guest, better) or uncertain(draft, guest, better)
            gain_mb = draft.occupancy.net_gain(guest.uuid, better.name).mb
            reason = f"{better.name} would save {gain_mb:.1f} MB, but "
            if stop is None:
                reason += "the plan ends before: its goal or its limits leave this out"
            else:
                stopped_by = stop.rule
                reason += f"is stopped by {stop}"
    return Explanation(
        guest=guest.uuid,
        host=host,
        sentence=reason,
        zero_pages=parts.zero_pages,
        self_shared_pages=parts.self_shared_pages,
        inter_shared_pages=inter,
        better_host=better_host,
        stopped_by=stopped_by,
    )


def _better_host(draft: Draft, guest: Guest) -> Host | None:
    """The other host where the guest would save most, if it would save at all."""
    here = draft.occupancy.host_of(guest.uuid)
    shared = {
        host.name: draft.occupancy.shared_pages(guest.uuid, host.name)
        for host in draft.snapshot.hosts
    }
    best = max(
        (host for host in draft.snapshot.hosts if host.name != here),
        key=lambda host: shared[host.name],
        default=None,
    )
    if best is None or shared[best.name] <= (shared[here] if here else 0.0):
        return None
    return best
