# SPDX-License-Identifier: Apache-2.0
"""The union strategy's search for the goal ``relieve``: hosts under memory pressure.

A host needs relief if its kernel reports memory pressure, or if its guests hold
more than the memory there is. The cheapest exchange that ends it is looked for,
by the memory that has to be copied: guests leave, or one leaves and one or two
smaller ones of its new host come instead (the published hotspot, Wood et al.,
VEE 2009, section 4.3: no host has room for the guest). A host that would be as
full as the one in need was takes nobody: that would only shift the trouble. What
does not end a host's need is not begun.
"""

import dataclasses
import heapq
import itertools
from collections.abc import Iterator, Sequence

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.model.sharing import PAGES_PER_MB
from membuddies_nova.planner.draft import Draft
from membuddies_nova.planner.route import follow

_LOOKED_AT = 2000
_TRIED = 100


@dataclasses.dataclass(frozen=True, slots=True)
class _Exchange:
    """Guests that leave the host in need, and those that come there instead.

    :ivar host: where the first of the leaving goes, None for any host
    """

    copy_mb: float
    leaving: tuple[Guest, ...]
    coming: tuple[Guest, ...] = ()
    host: Host | None = None


def relieve(draft: Draft) -> tuple[Draft, str]:
    """Add the moves that help the hosts in need.

    :returns: the draft with the moves, and what was found
    """
    needy = _needy(draft)
    if not needy:
        return draft, (
            f"no host has a memory pressure of {draft.limits.pressure:g} or more, or "
            f"holds more than its memory"
        )
    sentences = []
    for host in sorted(needy, key=lambda host: -_fill(draft, host)):
        before_mb = _held_mb(draft, host)
        relieved = _relieved(draft, host, needy)
        if relieved is None:
            sentences.append(f"{_need(draft, host)}, and no allowed move would end it")
            continue
        sentences.append(
            f"{_need(draft, host)}, which ends with {_held_mb(relieved, host):.0f} MB "
            f"held there instead of {before_mb:.0f} MB"
        )
        draft = relieved
    return draft, "; ".join(sentences)


def _needy(draft: Draft) -> list[Host]:
    return [
        host
        for host in draft.snapshot.hosts
        if draft.occupancy.guests_on(host.name)
        and (_is_pressed(draft, host) or _held_mb(draft, host) > host.real_memory_mb)
    ]


def _is_pressed(draft: Draft, host: Host) -> bool:
    return host.pressure is not None and host.pressure >= draft.limits.pressure


def _need(draft: Draft, host: Host) -> str:
    if _is_pressed(draft, host):
        return f"{host.name} has a memory pressure of {host.pressure:.2f}"
    return f"{host.name} holds more than its memory of {host.real_memory_mb} MB"


def _target_mb(draft: Draft, host: Host) -> float:
    """What the host may hold for its need to have ended."""
    target = float(host.real_memory_mb)
    if _is_pressed(draft, host):
        freed = draft.limits.relief_fraction * host.real_memory_mb
        target = min(target, _held_mb(draft, host) - freed)
    return target


def _held_mb(draft: Draft, host: Host) -> float:
    return draft.occupancy.pages(host.name) / PAGES_PER_MB


def _fill(draft: Draft, host: Host) -> float:
    """Part of its memory that a host's guests hold."""
    return _held_mb(draft, host) / max(host.real_memory_mb, 1)


def _relieved(draft: Draft, host: Host, needy: Sequence[Host]) -> Draft | None:
    """The draft with the moves that end a host's need, None if none do."""
    target_mb, start_fill = _target_mb(draft, host), _fill(draft, host)
    others = [other for other in draft.snapshot.hosts if other not in needy]
    enough = (
        exchange
        for exchange in itertools.islice(_exchanges(draft, host, others), _LOOKED_AT)
        if _held_after_mb(draft, host, exchange) <= target_mb
    )
    best: Draft | None = None
    least_copied = float("inf")
    for exchange in itertools.islice(enough, _TRIED):
        if exchange.copy_mb >= least_copied:
            break
        attempt = _made(draft, exchange, host, others, start_fill)
        if attempt is None or _held_mb(attempt, host) > target_mb:
            continue
        # A guest that has to wait on a third host is copied twice.
        copied_mb = sum(move.copy_mb for move in attempt.moves[len(draft.moves) :])
        if copied_mb < least_copied:
            best, least_copied = attempt, copied_mb
    return best


def _held_after_mb(draft: Draft, host: Host, exchange: _Exchange) -> float:
    """What a host would hold after an exchange."""
    leaving = {guest.uuid for guest in exchange.leaving}
    staying = [
        uuid for uuid in draft.occupancy.guests_on(host.name) if uuid not in leaving
    ]
    staying += [guest.uuid for guest in exchange.coming]
    alone = sum(map(draft.model.unique_pages, staying))
    saved = draft.model.saved_pages(staying).pages * host.merged_fraction
    return (alone - saved) / PAGES_PER_MB


def _exchanges(draft: Draft, host: Host, others: Sequence[Host]) -> Iterator[_Exchange]:
    """What might be exchanged, the least memory to copy first."""
    here = sorted(
        (guest for guest in _guests_on(draft, host) if not draft.is_fixed(guest)),
        key=draft.copy_mb,
    )
    return heapq.merge(
        _departures(draft, here),
        _swaps(draft, here, others),
        key=lambda exchange: exchange.copy_mb,
    )


def _departures(draft: Draft, here: Sequence[Guest]) -> Iterator[_Exchange]:
    """All sets of guests that may leave, in the order of what they copy."""
    if not here:
        return
    sizes = [draft.copy_mb(guest) for guest in here]
    heap: list[tuple[float, tuple[int, ...]]] = [(sizes[0], (0,))]
    while heap:
        copied_mb, rows = heapq.heappop(heap)
        yield _Exchange(copied_mb, tuple(here[row] for row in rows))
        last = rows[-1]
        if last + 1 < len(here):
            more = sizes[last + 1]
            heapq.heappush(heap, (copied_mb + more, (*rows, last + 1)))
            heapq.heappush(
                heap, (copied_mb + more - sizes[last], (*rows[:-1], last + 1))
            )


def _swaps(
    draft: Draft, here: Sequence[Guest], others: Sequence[Host]
) -> Iterator[_Exchange]:
    """One guest for one or two smaller ones of the host that it goes to."""
    found = []
    for other in others:
        there = [
            guest for guest in _guests_on(draft, other) if not draft.is_fixed(guest)
        ]
        for guest in here:
            smaller = [each for each in there if each.memory_mb < guest.memory_mb]
            for coming in itertools.chain(
                itertools.combinations(smaller, 1), itertools.combinations(smaller, 2)
            ):
                if sum(each.memory_mb for each in coming) < guest.memory_mb:
                    copied_mb = sum(map(draft.copy_mb, (guest, *coming)))
                    found.append(_Exchange(copied_mb, (guest,), coming, other))
    return iter(sorted(found, key=lambda exchange: exchange.copy_mb))


def _made(
    draft: Draft,
    exchange: _Exchange,
    host: Host,
    others: Sequence[Host],
    start_fill: float,
) -> Draft | None:
    """The draft with an exchange, None if it cannot be made or shifts the need."""
    reason = _need(draft, host)
    if exchange.host is not None:
        targets = {guest.uuid: exchange.host for guest in exchange.leaving}
        targets |= {guest.uuid: host for guest in exchange.coming}
        attempt, left = follow(draft.fork(), targets, reason)
        if left:
            return None
    else:
        attempt = draft.fork()
        for guest in sorted(exchange.leaving, key=lambda guest: -guest.memory_mb):
            if attempt.moves_left == 0:
                return None
            room = [
                other
                for other in others
                if _fill_with(attempt, other, guest) < start_fill
            ]
            if attempt.try_best(guest, room, reason) is not None:
                return None
    for other in others:
        fill = _fill(attempt, other)
        if fill > _fill(draft, other) and fill >= start_fill:
            return None
    return attempt


def _fill_with(draft: Draft, host: Host, guest: Guest) -> float:
    alone = draft.model.unique_pages(guest.uuid)
    added = alone - draft.occupancy.shared_pages(guest.uuid, host.name)
    return _fill(draft, host) + added / PAGES_PER_MB / max(host.real_memory_mb, 1)


def _guests_on(draft: Draft, host: Host) -> list[Guest]:
    guests = draft.snapshot.guests_by_uuid
    return [guests[uuid] for uuid in draft.occupancy.guests_on(host.name)]
