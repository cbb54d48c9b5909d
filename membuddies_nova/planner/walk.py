# SPDX-License-Identifier: Apache-2.0
"""Layouts that can be reached step by step, the best looked at first.

Where hosts are nearly full, what a search finds can often not be reached: a guest
arrives unshared, so it needs room that nobody may be able to make. A walk starts
from where everything is and takes any single step that the rules allow, also
those that lose; whatever it finds can be reached, because it went there. Few
steps are allowed where there is little room, so that a walk sees all of a small
full cluster, and it need not see all of an empty one.
"""

import heapq
import itertools

import numpy as np

from membuddies_nova.planner.layout import NOWHERE, Layout
from membuddies_nova.planner.search import Budget

_STEPS = 600_000
"""Steps to look at: seconds of work, and all there are in most small full clusters."""
_GUESTS = 40

State = tuple[int, ...]
"""For each host its guests: bit n is guest n."""
Step = tuple[int, int]
"""A guest (row) goes to a host (column)."""


class Walk:
    """Looks for the best layout that can be reached.

    :param layout: is changed; where it is left has no meaning
    """

    def __init__(self, layout: Layout, budget: Budget) -> None:
        self._layout = layout
        self._budget = budget
        self._rows = [int(row) for row in np.flatnonzero(layout.free)]
        self._ways = {
            row: [
                column
                for column in range(len(layout.hosts))
                if not layout.never_allows(row, column)
            ]
            for row in self._rows
        }
        self._room: dict[tuple[int, int, State | int], bool] = {}
        self._saved: dict[tuple[int, int], float] = {}
        self._reached = layout.home.copy()
        self._kinds = [layout.kind(row) for row in range(len(layout.guests))]

    def best(self) -> list[Step]:
        """The steps to the layout of the highest value, less what they all cost.

        :returns: none if staying is best, or if the cluster is too large to walk
        """
        layout = self._layout
        if len(layout.guests) > _GUESTS or not self._rows:
            return []
        states = _STEPS // (len(self._rows) * len(layout.hosts))
        layout.restore(layout.home)
        most = layout.moves_left
        start = self._start()
        lengths = {start: 0}
        came: dict[State, tuple[State, Step]] = {}
        ends: list[tuple[float, State]] = [(0.0, start)]
        order = itertools.count()
        heap = [(0.0, next(order), 0, start)]
        looked = 0
        while heap and looked < states and not self._budget.is_spent:
            lost, _, length, state = heapq.heappop(heap)
            if length > lengths[state] or length >= most:
                continue
            looked += 1
            self._budget.spend(len(self._rows))
            for row, column, source in self._steps(state):
                following = _after(state, row, source, column)
                if lengths.get(following, length + 2) <= length + 1:
                    continue
                value = -lost - layout.cost[row]
                value += self._gain(state, following, source, column)
                lengths[following] = length + 1
                came[following] = (state, (row, column))
                heapq.heappush(heap, (-value, next(order), length + 1, following))
                if value > ends[-1][0]:
                    ends.append((value, following))
        return _path(came, start, ends[-1][1])

    def _start(self) -> State:
        state = [0] * len(self._layout.hosts)
        for row, column in enumerate(self._layout.home):
            if column != NOWHERE:
                state[column] |= 1 << row
        return tuple(state)

    def _steps(self, state: State) -> list[tuple[int, int, int]]:
        """Guest, destination and source of each step that the rules allow."""
        found = []
        for row in self._rows:
            bit = 1 << row
            source = next(at for at, guests in enumerate(state) if guests & bit)
            found += [
                (row, column, source)
                for column in self._ways[row]
                if column != source and self._has_room(row, column, state)
            ]
        return found

    def _has_room(self, row: int, column: int, state: State) -> bool:
        kind, is_tied = self._kinds[row]
        # Where guests are tied to others, those elsewhere matter as well.
        key = (kind, column, state if is_tied else state[column])
        room = self._room.get(key)
        if room is None:
            self._go(state)
            room = self._room[key] = self._layout.has_room(row, column)
        return room

    def _go(self, state: State) -> None:
        """Make the layout what a state says."""
        for column, guests in enumerate(state):
            while guests:
                low = guests & -guests
                self._reached[low.bit_length() - 1] = column
                guests ^= low
        self._layout.restore(self._reached)

    def _gain(self, state: State, after: State, source: int, column: int) -> float:
        """Pages that a step saves."""
        return (
            self._saved_on(source, after[source])
            + self._saved_on(column, after[column])
            - self._saved_on(source, state[source])
            - self._saved_on(column, state[column])
        )

    def _saved_on(self, column: int, guests: int) -> float:
        key = (column, guests)
        if key not in self._saved:
            rows = [row for row in range(guests.bit_length()) if guests >> row & 1]
            self._saved[key] = self._layout.saved_pages(rows, column)
        return self._saved[key]


def _after(state: State, row: int, source: int, column: int) -> State:
    changed = list(state)
    changed[source] &= ~(1 << row)
    changed[column] |= 1 << row
    return tuple(changed)


def _path(
    came: dict[State, tuple[State, Step]], start: State, end: State
) -> list[Step]:
    steps = []
    while end != start:
        end, step = came[end]
        steps.append(step)
    return steps[::-1]
