# SPDX-License-Identifier: Apache-2.0
"""The union strategy's search for the goal ``share``: most memory saved.

A layout is searched for, its hosts are named so that the most guests stay, and
an order of moves is found that leads there. What cannot be reached is given up:
guests that the rest does not need to have moved go home, and the order is found
anew.
"""

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.planner.draft import Draft, Stop
from membuddies_nova.planner.layout import Layout
from membuddies_nova.planner.relabel import relabel
from membuddies_nova.planner.route import follow
from membuddies_nova.planner.search import Budget, Search


def improve(draft: Draft, budget: Budget, seed: int = 0) -> tuple[Draft, str]:
    """Add the moves that save most.

    :param seed: of the choices that the search makes at random
    :returns: the draft with the moves, and why there are no more of them
    """
    snapshot, limits = draft.snapshot, draft.limits
    if not snapshot.guests or not snapshot.hosts:
        return draft, "there is nothing to move"
    layout = Layout(draft, budget.spend)
    search = Search(layout, budget, limits.confidence, seed)
    search.climb_by_moves()
    # Single moves can be made in the order in which they were found: whatever
    # becomes of the rest, this much is certain.
    certain, certain_value = layout.at.copy(), layout.value
    search.climb()
    search.rounds()
    relabel(layout)
    search.climb()
    planned, value = _reached(draft, layout, search)
    if value < certain_value:
        layout.restore(certain)
        layout.refresh()
        planned, value = _reached(draft, layout, search)
    return planned, _why_no_more(planned, budget, search)


def uncertain(draft: Draft, guest: Guest, host: Host) -> Stop | None:
    """Noise never moves a guest: gains count with their lower bound."""
    gain = draft.occupancy.net_gain(guest.uuid, host.name)
    limits = draft.limits
    if gain.mb - limits.confidence * gain.error_mb > limits.min_gain_mb:
        return None
    return Stop(
        "net-benefit",
        f"its gain of {gain.mb:.1f} MB has a standard error of {gain.error_mb:.1f} "
        f"MB and may be under {limits.min_gain_mb:g} MB",
    )


def _reached(draft: Draft, layout: Layout, search: Search) -> tuple[Draft, float]:
    """The moves that lead to a layout, or to the nearest that is found.

    :returns: the draft with the moves, and the value of the layout they reach
    """
    while True:
        planned, left = follow(draft.fork(), _targets(layout))
        if not left:
            return planned, layout.value
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
