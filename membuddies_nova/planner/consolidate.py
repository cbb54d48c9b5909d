# SPDX-License-Identifier: Apache-2.0
"""The union strategy's search for the goal ``consolidate``: fewest hosts in use.

Hosts are emptied whole or not at all, those that hold the least memory first.
Each guest goes where it costs least memory among the hosts that stay in use.
Gains need not pass the threshold of the goal ``share``: the host is the gain.

Guests that were just brought to a host keep it in use, and a large host left in
use spares others. So in small clouds it is tried, too, to bring guests rather to
hosts that stay in use anyhow, rather to where little memory is left, and to empty
the smallest hosts first; what empties most hosts is taken.
"""

import itertools
from collections.abc import Callable, Set

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.model.sharing import PAGES_PER_MB
from membuddies_nova.planner.draft import Draft

_GUESTS_FOR_TRIALS = 400

Preference = Callable[[Draft, Guest, Host, Set[str]], tuple[float, ...]]
"""How little a guest had better go to a host; given the hosts that stay in use
because others were brought there."""


def empty_hosts(draft: Draft) -> tuple[Draft, str]:
    """Empty as many hosts as possible, one after another.

    :returns: the draft with the moves, and why there are no more of them
    """
    best = _emptied(draft, _pages, _where_most_is_shared)
    if len(draft.snapshot.guests) <= _GUESTS_FOR_TRIALS:
        for size, preference in itertools.product(
            (_pages, _memory), (_where_others_were_brought, _where_least_is_left)
        ):
            other = _emptied(draft, size, preference)
            if len(other[0].hosts_freed) > len(best[0].hosts_freed):
                best = other
    return best


def _where_most_is_shared(
    draft: Draft, guest: Guest, host: Host, reached: Set[str]
) -> tuple[float, ...]:
    return (-draft.occupancy.shared_pages(guest.uuid, host.name),)


def _where_others_were_brought(
    draft: Draft, guest: Guest, host: Host, reached: Set[str]
) -> tuple[float, ...]:
    shared = draft.occupancy.shared_pages(guest.uuid, host.name)
    return (host.name not in reached, -shared)


def _where_least_is_left(
    draft: Draft, guest: Guest, host: Host, reached: Set[str]
) -> tuple[float, ...]:
    left_mb = host.real_memory_mb - draft.occupancy.pages(host.name) / PAGES_PER_MB
    return (host.name not in reached, left_mb)


def _pages(draft: Draft, host: Host) -> float:
    return draft.occupancy.pages(host.name)


def _memory(draft: Draft, host: Host) -> float:
    return float(host.real_memory_mb)


def _emptied(
    draft: Draft, size: Callable[[Draft, Host], float], preference: Preference
) -> tuple[Draft, str]:
    """The draft with as many hosts emptied as one preference of guests allows.

    :param size: of two hosts the smaller is emptied first
    """
    obstacle: str | None = None
    for host in _in_use(draft, size):
        if host.name in _reached(draft):
            # Guests that were just brought here are not moved again.
            continue
        attempt = draft.fork()
        stop = _empty(attempt, host, preference)
        if stop is None:
            draft = attempt
        else:
            obstacle = obstacle or f"{host.name} cannot be emptied: {stop}"
    return draft, obstacle or "no host is left that could be emptied"


def _in_use(draft: Draft, size: Callable[[Draft, Host], float]) -> list[Host]:
    guests_on = draft.occupancy.guests_on
    in_use = [host for host in draft.snapshot.hosts if guests_on(host.name)]
    return sorted(in_use, key=lambda host: size(draft, host))


def _reached(draft: Draft) -> set[str]:
    return {move.destination for move in draft.moves}


def _empty(draft: Draft, source: Host, preference: Preference) -> str | None:
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
    reached = _reached(draft)
    for guest in sorted(guests, key=lambda guest: -guest.memory_mb):
        if draft.moves_left == 0:
            return f"the plan may have {draft.limits.max_moves} moves"
        places = [preference(draft, guest, host, reached) for host in others]
        best_first = sorted(range(len(others)), key=places.__getitem__)
        stop = draft.try_first(guest, [others[at] for at in best_first])
        if stop is not None:
            return f"{guest.name} has to stay, {stop}"
        reached.add(draft.moves[-1].destination)
    return None
