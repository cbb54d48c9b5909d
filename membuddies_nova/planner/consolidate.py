# SPDX-License-Identifier: Apache-2.0
"""The union strategy's search for the goal ``consolidate``: fewest hosts in use.

Hosts are emptied whole or not at all, those that hold the least memory first.
Each guest goes where it costs least memory among the hosts that stay in use.
Gains need not pass the threshold of the goal ``share``: the host is the gain.
"""

from membuddies_nova.cluster import Host
from membuddies_nova.planner.draft import Draft


def empty_hosts(draft: Draft) -> tuple[Draft, str]:
    """Empty as many hosts as possible, one after another.

    :returns: the draft with the moves, and why there are no more of them
    """
    reached = {move.destination for move in draft.moves}
    obstacle: str | None = None
    for host in _coldest_first(draft):
        if host.name in reached:
            # Guests that were just brought here are not moved again.
            continue
        attempt = draft.fork()
        stop = _empty(attempt, host)
        if stop is None:
            draft = attempt
            reached = {move.destination for move in draft.moves}
        else:
            obstacle = obstacle or f"{host.name} cannot be emptied: {stop}"
    return draft, obstacle or "no host is left that could be emptied"


def _coldest_first(draft: Draft) -> list[Host]:
    occupancy = draft.occupancy
    in_use = [host for host in draft.snapshot.hosts if occupancy.guests_on(host.name)]
    return sorted(in_use, key=lambda host: occupancy.pages(host.name))


def _empty(draft: Draft, source: Host) -> str | None:
    """Move every guest off a host.

    :returns: None, or what keeps a guest there
    """
    occupancy = draft.occupancy
    others = [
        host
        for host in draft.snapshot.hosts
        if host != source and occupancy.guests_on(host.name)
    ]
    if not others:
        return "it is the only host in use"
    guests = [
        draft.snapshot.guests_by_uuid[uuid] for uuid in occupancy.guests_on(source.name)
    ]
    for guest in sorted(guests, key=lambda guest: -guest.memory_mb):
        if draft.moves_left == 0:
            return f"the plan may have {draft.limits.max_moves} moves"
        stop = draft.try_best(guest, others)
        if stop is not None:
            return f"{guest.name} has to stay, {stop}"
    return None
