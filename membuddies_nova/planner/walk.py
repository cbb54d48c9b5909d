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
from collections.abc import Iterable, Iterator

import numpy as np

from membuddies_nova.planner.layout import NOWHERE, Layout
from membuddies_nova.planner.search import Budget

_STEPS = 600_000
"""Steps to look at: seconds of work, and all there are in most small full clusters."""
MOST_GUESTS = 40
"""In a cluster of more a walk would see too little to be worth its preparation."""

State = tuple[int, ...]
"""For each host its guests: bit n is guest n."""
Step = tuple[int, int, int]
"""A guest (row) goes to a host (column) from another (column)."""


class Walk:
    """Looks for the best layout that can be reached.

    :param layout: is changed; where it is left has no meaning
    """

    def __init__(self, layout: Layout, budget: Budget) -> None:
        self._layout = layout
        self._budget = budget
        self._rows = [int(row) for row in np.flatnonzero(layout.free)]
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
        states = _STEPS // (len(self._rows) * len(layout.hosts))
        layout.restore(layout.home)
        most = layout.moves_left
        start = self._start()
        lengths = {start: 0}
        # On the way to each state: who was moved at all, and who was moved twice.
        moved = {start: (0, 0)}
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
            once, twice = moved[state]
            for row, column, source in self._steps(state):
                bit = 1 << row
                if twice & bit:
                    continue
                following = _after(state, row, source, column)
                if lengths.get(following, length + 2) <= length + 1:
                    continue
                value = -lost - layout.cost[row]
                value += self._gain(state, following, source, column)
                lengths[following] = length + 1
                moved[following] = (once | bit, twice | once & bit)
                came[following] = (state, (row, column, source))
                heapq.heappush(heap, (-value, next(order), length + 1, following))
                if value > ends[-1][0]:
                    ends.append((value, following))
        for _, end in ends[:0:-1]:
            yield _path(came, start, end)

    def _start(self) -> State:
        state = [0] * len(self._layout.hosts)
        for row, column in enumerate(self._layout.home):
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


def _path(
    came: dict[State, tuple[State, Step]], start: State, end: State
) -> list[Step]:
    steps = []
    while end != start:
        end, step = came[end]
        steps.append(step)
    return steps[::-1]
