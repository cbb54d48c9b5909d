# SPDX-License-Identifier: Apache-2.0
"""The union strategy's search for the goal ``share``: most memory saved.

A layout is searched for, its hosts are named so that the most guests stay, and
an order of moves is found that leads there. What cannot be reached is given up:
guests that the rest does not need to have moved go home, and the order is found
anew. Of the plan that saves most, a way of fewer moves is looked for in the end.
"""

import collections
from collections.abc import Mapping, Sequence

import numpy as np

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.model.sharing import PAGES_PER_MB
from membuddies_nova.planner.draft import Draft, Stop
from membuddies_nova.planner.layout import Layout
from membuddies_nova.planner.relabel import namings, relabel
from membuddies_nova.planner.route import follow
from membuddies_nova.planner.search import Budget, Search
from membuddies_nova.planner.walk import MOST_GUESTS, Step, Walk

_ROUNDING_MB = 1e-7

_SEARCH_ITEMS = 4_000_000
"""Sampled items that a search works with; of larger clouds it sees coarser samples.
What the moves of the plan gain is computed with all of them."""

_MOVES_A_GUEST = 2
"""To where it waits and on to its place."""

_AGREEING = 0.98
"""A plan is as good as the search meant it to be if, where the search saw coarser
samples, it is worth at least this part of that."""


def improve(draft: Draft, budget: Budget, seed: int = 0) -> tuple[Draft, str]:
    """Add the moves that save most.

    :param seed: of the choices that the search makes at random
    :returns: the draft with the moves, and why there are no more of them
    """
    snapshot, limits = draft.snapshot, draft.limits
    if not snapshot.guests or not snapshot.hosts:
        return draft, "there is nothing to move"
    model = draft.model.thinned(_SEARCH_ITEMS)
    agreeing = 1.0 if model is draft.model else _AGREEING
    layout = Layout(draft, model, budget.spend)
    search = Search(layout, budget, limits.confidence, seed)
    search.climb_by_moves()
    # Single moves can be made in the order in which they were found: whatever
    # becomes of the rest, this much is certain.
    certain, certain_value = layout.at.copy(), layout.value
    search.climb()
    search.rounds()
    found, found_value = layout.at.copy(), layout.value
    relabel(layout)
    search.climb()
    sought_mb = agreeing * max(layout.value, found_value) / PAGES_PER_MB
    followed = {layout.at.tobytes()}
    planned = _reached(draft, layout, search)
    for other, value in ((found, found_value), (certain, certain_value)):
        if other.tobytes() in followed:
            continue
        if _worth_mb(planned) < agreeing * value / PAGES_PER_MB - _ROUNDING_MB:
            followed.add(other.tobytes())
            layout.restore(other)
            layout.refresh()
            planned = _better(planned, _reached(draft, layout, search))
    if _worth_mb(planned) < sought_mb - _ROUNDING_MB or search.obstacle() is not None:
        walked = _walked(draft, layout, search, budget)
        if _better(planned, walked) is walked:
            planned = _better(walked, _polished(walked, draft, layout, search))
    planned = _shortened(planned, draft, layout, search, budget)
    layout.take(layout.targets_of(planned.occupancy))
    layout.refresh()
    return planned, _why_no_more(planned, budget, search)


def uncertain(draft: Draft, guest: Guest, host: Host) -> Stop | None:
    """Noise never moves a guest: gains count with their lower bound."""
    gain = draft.occupancy.net_gain(guest.uuid, host.name)
    least_mb = draft.least_gain_mb(guest)
    if gain.mb - draft.limits.confidence * gain.error_mb > least_mb:
        return None
    return Stop(
        "net-benefit",
        f"its gain of {gain.mb:.1f} MB has a standard error of {gain.error_mb:.1f} "
        f"MB and may be under the {least_mb:.1f} MB that its move costs",
    )


def _reached(draft: Draft, layout: Layout, search: Search) -> Draft:
    """The moves that lead to a layout, or to the nearest that is found."""
    while True:
        planned, left = follow(draft.fork(), _targets(layout))
        if not left:
            return planned
        stuck = {guest.uuid for guest in left}
        layout.take(
            {
                row: column
                for row, column in layout.targets.items()
                if layout.guests[row].uuid not in stuck
            }
        )
        layout.refresh()
        search.send_home()


def _walked(draft: Draft, layout: Layout, search: Search, budget: Budget) -> Draft:
    """The moves to the best layout that single steps are found to reach."""
    if len(layout.guests) > MOST_GUESTS:
        return draft
    for steps in Walk(layout, budget).best():
        last = {row: column for row, column, _ in steps}
        layout.take(last)
        if not search.is_surely_better(layout.home, 0.0):
            return draft
        planned, left = follow(draft.fork(), _targets(layout))
        if not left:
            return planned
        stepped = _stepped(draft, layout, steps, last)
        if stepped is not None:
            return stepped
    return draft


def _stepped(
    draft: Draft, layout: Layout, steps: Sequence[Step], last: Mapping[int, int]
) -> Draft | None:
    """The draft with a walk's steps, None if a rule or their number stops one."""
    times = collections.Counter(row for row, _, _ in steps)
    if max(times.values()) > _MOVES_A_GUEST:
        return None
    planned = draft.fork()
    for row, column, _ in steps:
        guest, host = layout.guests[row], layout.hosts[column]
        if column == last[row]:
            stop = planned.try_move(guest, host)
        else:
            stop = planned.try_park(guest, host, layout.hosts[last[row]])
        if stop is not None:
            return None
    return planned


def _polished(walked: Draft, draft: Draft, layout: Layout, search: Search) -> Draft:
    """The moves to the best layout beside that of a walk, which takes single steps."""
    layout.take(layout.targets_of(walked.occupancy))
    layout.refresh()
    search.climb()
    relabel(layout)
    search.climb()
    return _reached(draft, layout, search)


def _shortened(
    planned: Draft, draft: Draft, layout: Layout, search: Search, budget: Budget
) -> Draft:
    """The fewest moves to the layout of a plan, or to one that differs in names."""
    if len(layout.guests) > MOST_GUESTS:
        return planned
    layout.take(layout.targets_of(planned.occupancy))
    walk = None
    for goal in namings(layout):
        moves = len(planned.moves) - len(draft.moves)
        if np.count_nonzero(goal != layout.home) >= moves:
            break
        walk = walk or Walk(layout, budget)
        steps = walk.shortest(goal, fewer_than=moves)
        if steps is None:
            continue
        last = {row: column for row, column, _ in steps}
        layout.take(last)
        if search.is_surely_better(layout.home, 0.0):
            stepped = _stepped(draft, layout, steps, last)
            planned = planned if stepped is None else _better(planned, stepped)
    return planned


def _worth_mb(draft: Draft) -> float:
    """What the moves of guests that had a host save, less what they cost."""
    guests = draft.snapshot.guests_by_uuid
    return sum(
        move.gain_mb - draft.least_gain_mb(guests[move.guest]) - _ROUNDING_MB
        for move in draft.moves
        if move.source is not None
    )


def _better(first: Draft, second: Draft) -> Draft:
    better = _worth_mb(second) > _worth_mb(first) + _ROUNDING_MB
    return second if better else first


def _targets(layout: Layout) -> dict[str, Host]:
    """Where guests have to go, those that gain most at home's expense first."""
    return {
        layout.guests[row].uuid: layout.hosts[column]
        for row, column in layout.targets.items()
    }


def _why_no_more(draft: Draft, budget: Budget, search: Search) -> str:
    limits = draft.limits
    if draft.moves_left == 0:
        return f"the plan may have {limits.max_moves} moves"
    if budget.is_spent:
        return "the work budget is spent"
    if (obstacle := search.obstacle()) is not None:
        guest, host, stop = obstacle
        return f"moving {guest.name} to {host.name} is stopped by {stop}"
    return f"no further move saves more than {limits.min_gain_mb:g} MB"


__all__ = ["Budget", "improve", "uncertain"]
