# SPDX-License-Identifier: Apache-2.0
"""Whether the moves of a plan that was made before are still allowed.

Each move is tried in the plan's order on the cluster as it is now. One that is
stopped is left out, and those that need it with it.
"""

import dataclasses
from typing import Any

from membuddies_nova import exceptions
from membuddies_nova.cluster import Scope
from membuddies_nova.model.sharing import SharingModel
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.plan import Plan
from membuddies_nova.planner.draft import Draft, Stop
from membuddies_nova.planner.limits import Limits
from membuddies_nova.planner.rules import RULES


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One move as of now.

    :ivar stopped_by: name of the rule that stops it, ``needs`` if it needs a move
        that is stopped, None if it is allowed
    :ivar why: why it is stopped, or what it gains now
    """

    guest: str
    destination: str
    stopped_by: str | None
    why: str

    def to_json(self) -> dict[str, Any]:
        """Plain values for the command line."""
        return {
            "guest": self.guest,
            "to": self.destination,
            "stopped_by": self.stopped_by,
            "why": self.why,
        }


def judge(
    snapshot: ClusterSnapshot, planned: Plan, limits: Limits
) -> tuple[Judgement, ...]:
    """Judge a plan's moves on the cluster as it is.

    :raises InputError: for a plan of the strategy original, which never runs
    """
    if planned.strategy == "original":
        raise exceptions.InputError(
            "a plan of the strategy 'original' is a reference and never runs"
        )
    model = SharingModel(snapshot, Scope(planned.scope), across_keys=True)
    limits = dataclasses.replace(limits, max_moves=None)
    draft = Draft(snapshot, model, limits, RULES)
    judged: list[Judgement] = []
    for move in planned.moves:
        stop = _stop(draft, judged, planned, len(judged))
        judged.append(
            Judgement(
                guest=move.guest,
                destination=move.destination,
                stopped_by=None if stop is None else stop.rule,
                why=f"gains {draft.moves[-1].gain_mb:.1f} MB"
                if stop is None
                else stop.sentence,
            )
        )
    return tuple(judged)


def _stop(draft: Draft, judged: list[Judgement], planned: Plan, at: int) -> Stop | None:
    """What stops a move; if nothing does, the draft has it."""
    move = planned.moves[at]
    guest = draft.snapshot.guests_by_uuid.get(move.guest)
    host = draft.snapshot.hosts_by_name.get(move.destination)
    if guest is None or host is None:
        return Stop("inventory", "the guest or the host is no longer there")
    for needed in move.needs:
        if judged[needed].stopped_by is not None:
            return Stop("needs", f"it needs the move of guest {judged[needed].guest}")
    if draft.occupancy.host_of(guest.uuid) != move.source:
        return Stop(
            "inventory",
            f"it is on {draft.occupancy.host_of(guest.uuid)}, not on {move.source}",
        )
    return draft.try_move(guest, host)
