# SPDX-License-Identifier: Apache-2.0
"""Which later moves need an earlier one, should that one fail.

A move does without others if it passes the rules of its destination when nobody
has left it and everybody else has come, and if it saves enough without those
that come. A guest that waits elsewhere needs the move that brought it there, and
members of a server group and guests that hint at each other always need each
other's earlier moves.
"""

import collections
from collections.abc import Sequence

from membuddies_nova.cluster import Guest
from membuddies_nova.plan import Move
from membuddies_nova.planner.draft import Draft

_OF_WAVES = "moves-per-host"
_HINTS = ("different_host", "same_host")


def needs(start: Draft, moves: Sequence[Move]) -> list[tuple[int, ...]]:
    """For each move the places of the earlier ones that it needs.

    :param start: the draft before any of the moves
    :param moves: in the order of their waves
    """
    start = start.fork()
    guests = start.snapshot.guests_by_uuid
    tight = _tight(start, moves)
    left: dict[str | None, list[int]] = collections.defaultdict(list)
    came: dict[str | None, list[int]] = collections.defaultdict(list)
    tied: dict[str, list[int]] = collections.defaultdict(list)
    found = []
    for at, move in enumerate(moves):
        guest, source, host = guests[move.guest], move.source, move.destination
        needed = {n for key in _keys(guest) for n in tied[key]}
        leaving, coming = left[host], came[host]
        if guest.uuid in {moves[n].guest for n in needed}:
            needed.update(leaving, coming)
        else:
            if at in tight:
                needed.update(leaving)
            # In the plan's order: who was moved twice is where the second move ends.
            apart = {*leaving, *left[source], *came[source]}.difference(coming)
            others = [moves[n] for n in sorted(apart)]
            if coming and source is not None and not _pays(start, move, others):
                needed.update(coming)
        found.append(tuple(sorted(n for n in needed if moves[n].wave < move.wave)))
        left[source].append(at)
        came[host].append(at)
        for key in _keys(guest):
            tied[key].append(at)
    return found


def _keys(guest: Guest) -> set[str]:
    """Guests that have one in common may depend on each other's place."""
    keys = {guest.uuid}
    for hint in _HINTS:
        keys |= guest.hinted_guests(hint)
    if guest.group is not None:
        keys.add(f"group {guest.group.name}")
    return keys


def _tight(start: Draft, moves: Sequence[Move]) -> set[int]:
    """Places of the moves whose destinations would not take them, had nobody left.

    Destination after destination, each filled once, so that all of them together
    cost about as much as making the moves and taking them back.
    """
    first_left: dict[str | None, int] = {}
    came: dict[str, list[int]] = collections.defaultdict(list)
    for at, move in enumerate(moves):
        first_left.setdefault(move.source, at)
        came[move.destination].append(at)
    tight: set[int] = set()
    for name, arrivals in came.items():
        first = first_left.get(name, len(moves))
        if arrivals[-1] > first:
            fits = _fits(start, name, [moves[at].guest for at in arrivals])
            tight.update(
                at
                for at, fit in zip(arrivals, fits, strict=True)
                if at > first and not fit
            )
    return tight


def _fits(start: Draft, name: str, arrivals: Sequence[str]) -> list[bool]:
    """For each guest whether a host takes it after those before it alone."""
    snapshot, situation = start.snapshot, start.situation
    host = snapshot.hosts_by_name[name]
    rules = [rule for rule in start.rules.situation if rule.name != _OF_WAVES]
    fits, made = [], []
    for uuid in arrivals:
        guest = snapshot.guests_by_uuid[uuid]
        fits.append(not any(rule.stops(guest, host, situation) for rule in rules))
        made.append((guest, situation.occupancy.host_of(uuid)))
        situation.put(guest, host)
    for guest, _ in made:
        situation.lift(guest, host)
    for guest, place in made:
        if place is not None:
            situation.occupancy.move(guest.uuid, place)
    return fits


def _pays(start: Draft, move: Move, made: Sequence[Move]) -> bool:
    """Whether a move saves enough after some of the others alone.

    Also if it never did: then it is made for something else.
    """
    least_mb = start.least_gain_mb(start.snapshot.guests_by_uuid[move.guest])
    if move.gain_mb <= least_mb:
        return True
    places = {other.guest: other.destination for other in made}
    gain = start.occupancy.net_gain(move.guest, move.destination, places)
    return gain.mb - start.limits.confidence * gain.error_mb > least_mb
