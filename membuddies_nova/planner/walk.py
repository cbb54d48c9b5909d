# SPDX-License-Identifier: Apache-2.0
"""Layouts that can be reached step by step, the best looked at first.

Where hosts are nearly full, what a search finds can often not be reached: a guest
arrives unshared, so it needs room that nobody may be able to make. A walk starts
from where everything is and takes any single step that the rules allow, also
those that lose; whatever it finds can be reached, because it went there. Few
steps are allowed where there is little room, so that a walk sees all of a small
full cluster, and it need not see all of an empty one.

For the same reason an order of moves that was found one by one may let guests wait
elsewhere who need not: a second kind of walk looks for the fewest steps to a layout
that is known to be reached.
"""

import heapq
import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from membuddies_nova.planner.layout import NOWHERE, Layout, Rows
from membuddies_nova.planner.search import Budget

_STEPS = 600_000
"""Steps to look at: seconds of work, and all there are in most small full clusters."""
MOST_GUESTS = 40
"""In a cluster of more a walk would see too little to be worth its preparation."""

State = tuple[int, ...]
"""For each host its guests: bit n is guest n."""
Step = tuple[int, int, int]
"""A guest (row) goes to a host (column) from another (column)."""


class _Ways:
    """The shortest ways that were found to states; on none is a guest moved thrice.

    :ivar lengths: steps of each of them
    """

    def __init__(self, start: State) -> None:
        self._start = start
        self.lengths = {start: 0}
        # On the way to each state: who was moved at all, and who was moved twice.
        self._moved = {start: (0, 0)}
        self._came: dict[State, tuple[State, Step]] = {}

    def reach(self, state: State, step: Step) -> State | None:
        """The state after a step, None if no shorter way to it is found so."""
        row, column, source = step
        bit = 1 << row
        once, twice = self._moved[state]
        if twice & bit:
            return None
        length = self.lengths[state] + 1
        following = _after(state, row, source, column)
        if self.lengths.get(following, length + 1) <= length:
            return None
        self.lengths[following] = length
        self._moved[following] = (once | bit, twice | once & bit)
        self._came[following] = (state, step)
        return following

    def path(self, end: State) -> list[Step]:
        """The steps of the way to a state."""
        steps = []
        while end != self._start:
            end, step = self._came[end]
            steps.append(step)
        return steps[::-1]


class Walk:
    """Looks for the best layout that can be reached.

    :param layout: is changed; where it is left has no meaning
    """

    def __init__(self, layout: Layout, budget: Budget) -> None:
        self._layout = layout
        self._budget = budget
        self._rows = [int(row) for row in np.flatnonzero(layout.free)]
        self._states = _STEPS // max(len(self._rows) * len(layout.hosts), 1)
        self._free = _set_of(self._rows)
        self._allowed = [
            _set_of(row for row in self._rows if not layout.never_allows(row, column))
            for column in range(len(layout.hosts))
        ]
        self._kinds, self._tied = self._rows_of_kinds()
        self._room: dict[tuple[int, int], int] = {}
        self._saved: dict[tuple[int, int], float] = {}
        self._reached = layout.home.copy()

    def best(self) -> Iterator[list[Step]]:
        """The steps to the layout of the highest value, less what they all cost.

        Then those to the next that were the best of all for a while. None if staying
        is best.
        """
        layout = self._layout
        if not self._rows:
            return
        layout.restore(layout.home)
        most = layout.moves_left
        start = self._state(layout.home)
        ways = _Ways(start)
        ends: list[tuple[float, State]] = [(0.0, start)]
        order = itertools.count()
        heap = [(0.0, next(order), 0, start)]
        looked = 0
        while heap and looked < self._states and not self._budget.is_spent:
            lost, _, length, state = heapq.heappop(heap)
            if length > ways.lengths[state] or length >= most:
                continue
            looked += 1
            self._budget.spend(len(self._rows))
            for step in self._steps(state):
                following = ways.reach(state, step)
                if following is None:
                    continue
                row, column, source = step
                value = -lost - layout.cost[row]
                value += self._gain(state, following, source, column)
                heapq.heappush(heap, (-value, next(order), length + 1, following))
                if value > ends[-1][0]:
                    ends.append((value, following))
        for _, end in ends[:0:-1]:
            yield ways.path(end)

    def shortest(self, goal: Rows, fewer_than: int) -> list[Step] | None:
        """The fewest steps to a layout, None if no way of so few is found.

        A guest that is not at its place has a step before it at least, so what is
        looked at first is where the steps made and these are fewest (A*).
        """
        start, end = self._state(self._layout.home), self._state(goal)
        ways = _Ways(start)
        left = int((goal != self._layout.home).sum())
        order = itertools.count()
        heap = [(left, left, next(order), start)]
        looked = 0
        while heap and looked < self._states and not self._budget.is_spent:
            steps, left, _, state = heapq.heappop(heap)
            if state == end:
                return ways.path(end)
            if steps - left > ways.lengths[state]:
                continue
            looked += 1
            self._budget.spend(len(self._rows))
            for step in self._steps(state):
                row, column, source = step
                then = left + int(goal[row] == source) - int(goal[row] == column)
                least = steps - left + 1 + then
                if least >= fewer_than:
                    continue
                following = ways.reach(state, step)
                if following is not None:
                    heapq.heappush(heap, (least, then, next(order), following))
        return None

    def _state(self, at: Rows) -> State:
        state = [0] * len(self._layout.hosts)
        for row, column in enumerate(at):
            if column != NOWHERE:
                state[column] |= 1 << row
        return tuple(state)

    def _steps(self, state: State) -> list[Step]:
        """The steps that the rules allow."""
        found = []
        comers = [self._comers(column, state) for column in range(len(state))]
        for source, guests in enumerate(state):
            for column, may in enumerate(comers):
                if column != source:
                    found += [
                        (row, column, source)
                        for row in _rows_of(guests & may & self._free)
                    ]
        return found

    def _comers(self, column: int, state: State) -> int:
        """The guests, as bits, for which a host has room."""
        there = state[column]
        comers = self._room.get((column, there))
        if comers is None:
            comers = sum(
                kind
                for kind in self._kinds
                if (absent := kind & ~there) and self._has_room(absent, column, state)
            )
            self._room[column, there] = comers
        # Where guests are tied to others, those elsewhere matter as well.
        for guest in self._tied:
            if guest & ~there and self._has_room(guest, column, state):
                comers |= guest
        return comers & self._allowed[column]

    def _has_room(self, guests: int, column: int, state: State) -> bool:
        """Whether a host has room for any of some guests of one kind."""
        self._go(state)
        return self._layout.has_room(next(_rows_of(guests)), column)

    def _rows_of_kinds(self) -> tuple[list[int], list[int]]:
        """The guests of each kind, as bits; of those alone of theirs apart."""
        kinds: dict[tuple[int, bool], int] = {}
        for row in self._rows:
            kind = self._layout.kind(row)
            kinds[kind] = kinds.get(kind, 0) | 1 << row
        return (
            [rows for (_, alone), rows in kinds.items() if not alone],
            [rows for (_, alone), rows in kinds.items() if alone],
        )

    def _go(self, state: State) -> None:
        """Make the layout what a state says."""
        for column, guests in enumerate(state):
            for row in _rows_of(guests):
                self._reached[row] = column
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
            self._saved[key] = self._layout.saved_pages(_rows_of(guests), column)
        return self._saved[key]


def _set_of(rows: Iterable[int]) -> int:
    return sum(1 << row for row in rows)


def _rows_of(guests: int) -> Iterator[int]:
    while guests:
        low = guests & -guests
        yield low.bit_length() - 1
        guests ^= low


def _after(state: State, row: int, source: int, column: int) -> State:
    changed = list(state)
    changed[source] &= ~(1 << row)
    changed[column] |= 1 << row
    return tuple(changed)
