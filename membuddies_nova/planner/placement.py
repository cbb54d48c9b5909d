# SPDX-License-Identifier: Apache-2.0
"""First placement of guests that have no host yet, before anything moves.

Large guests choose first. Each goes where it shares most among the hosts that
may take it; ties go to the first host.
"""

from membuddies_nova.plan import Unplaced
from membuddies_nova.planner.draft import Draft


def place(draft: Draft) -> None:
    """Place the guests without a host, or record why one stays without."""
    waiting = [guest for guest in draft.snapshot.guests if guest.host is None]
    for guest in sorted(waiting, key=lambda guest: -guest.memory_mb):
        if draft.moves_left == 0:
            reason = f"the plan may have {draft.limits.max_moves} moves"
        elif (stop := draft.try_best(guest, draft.snapshot.hosts)) is None:
            continue
        else:
            reason = f"no host can take it; the best is stopped by {stop}"
        draft.unplaced.append(Unplaced(guest=guest.uuid, reason=reason))
