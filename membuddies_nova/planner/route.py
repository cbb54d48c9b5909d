# SPDX-License-Identifier: Apache-2.0
"""From a layout to moves in an order: every step on the way obeys every rule.

A guest goes straight to its place as soon as that has room. Where several wait
for each other, one of them waits on a third host meanwhile, which costs it a
second move.
"""

from collections.abc import Mapping, Sequence

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.planner.draft import Draft

_PARKINGS_TRIED = 200


def follow(
    draft: Draft, targets: Mapping[str, Host], reason: str = ""
) -> tuple[Draft, list[Guest]]:
    """Move guests to their places.

    :param targets: by uuid, in the order in which they are tried
    :param reason: of the moves, if it is not what the guests share
    :returns: the draft with the moves, and the guests that did not get there
    """
    guests = draft.snapshot.guests_by_uuid
    waiting = [guests[uuid] for uuid in targets]
    _go(draft, waiting, targets, reason)
    while waiting:
        attempt = _with_one_parked(draft, waiting, targets, reason)
        if attempt is None:
            break
        draft, waiting = attempt
    return draft, waiting


def _go(
    draft: Draft, waiting: list[Guest], targets: Mapping[str, Host], reason: str
) -> int:
    """Move whoever can go, until nobody can.

    :param waiting: those that went are removed
    :returns: how many went
    """
    count = len(waiting)
    progress = True
    while progress and waiting:
        progress = False
        for guest in [*waiting]:
            if draft.moves_left == 0:
                return count - len(waiting)
            if draft.try_move(guest, targets[guest.uuid], reason) is None:
                waiting.remove(guest)
                progress = True
    return count - len(waiting)


def _with_one_parked(
    draft: Draft,
    waiting: Sequence[Guest],
    targets: Mapping[str, Host],
    reason: str,
) -> tuple[Draft, list[Guest]] | None:
    """Let one guest wait elsewhere so that another can go to its place.

    :returns: the draft and who waits then, None if it would not help
    """
    if draft.moves_left is not None and draft.moves_left <= len(waiting):
        return None
    wanted = {targets[guest.uuid].name for guest in waiting}
    tried = 0
    for guest in sorted(waiting, key=lambda guest: guest.memory_mb):
        here = draft.occupancy.host_of(guest.uuid)
        if here not in wanted or draft.is_moved(guest):
            continue
        for host in draft.snapshot.hosts:
            if host.name in (here, targets[guest.uuid].name):
                continue
            tried += 1
            if tried > _PARKINGS_TRIED:
                return None
            if draft.stop_of(guest, host) is not None:
                continue
            attempt, left = draft.fork(), [*waiting]
            if attempt.try_park(guest, host, targets[guest.uuid]) is not None:
                continue
            if _go(attempt, left, targets, reason) and guest not in left:
                return attempt, left
    return None
