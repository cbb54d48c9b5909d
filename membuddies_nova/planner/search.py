# SPDX-License-Identifier: Apache-2.0
"""The search for the layout of the highest value.

Steps that raise the value are taken until none is left: one guest moves to
where it gains most; or it takes the place of another, which goes elsewhere (to
the first one's host, which is a swap, or to a third, which is a chain). From
there, rounds of ruin and recreate: a few guests are taken off, put back in
another order where they share most, and the steps repeat; a round that falls far
behind the best value is undone, and in the end the best layout is restored.

The same layout, budget and seed give the same result.
"""

import numpy as np

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.model.index import Floats
from membuddies_nova.planner.draft import Stop
from membuddies_nova.planner.layout import NOISE, NOWHERE, Layout, Rows

_ROUNDS = 80
_GUESTS_FOR_ROUNDS = 400
_EXCHANGES = 50
_MOST_RUINED = 8
_STRAYING = 0.1
"""Part of the best value that a round may fall behind it."""
_ROUNDING_PAGES = 1e-6
_EVICTIONS_TRIED = 40
_EVICTORS = 200


class Budget:
    """How many gains a search may still evaluate; None for any number."""

    def __init__(self, evaluations: int | None) -> None:
        self._left = evaluations

    def spend(self, evaluations: int) -> None:
        if self._left is not None:
            self._left -= evaluations

    @property
    def is_limited(self) -> bool:
        return self._left is not None

    @property
    def is_spent(self) -> bool:
        return self._left is not None and self._left <= 0


class Search:
    """Changes a layout for the better."""

    def __init__(
        self, layout: Layout, budget: Budget, confidence: float, seed: int
    ) -> None:
        self._layout = layout
        self._budget = budget
        self._confidence = confidence
        self._random = np.random.default_rng(seed)
        self._exchanges = 0

    def climb_by_moves(self) -> None:
        """Move single guests while the value rises."""
        layout = self._layout
        while not self._budget.is_spent and (found := layout.best_move()):
            row, column = found
            if (stop := self._stop(row, column)) is not None:
                layout.strike(row, column, stop)
                continue
            layout.move(row, column)
            layout.refresh()

    def obstacle(self) -> tuple[Guest, Host, Stop] | None:
        """What stops the single move that would gain most, if there is one."""
        layout = self._layout
        gains, columns = layout.best_gains()
        row = int(np.argmax(gains))
        column = int(columns[row])
        if not gains[row] > _ROUNDING_PAGES:
            return None
        stop = self._stop(row, column)
        return (
            None if stop is None else (layout.guests[row], layout.hosts[column], stop)
        )

    def send_home(self) -> None:
        """Let guests go home whose moves save less than they cost.

        The budget is not asked: what it paid for is only tidied up.
        """
        layout = self._layout
        away = True
        while away:
            away = False
            for row in layout.targets:
                home = int(layout.home[row])
                if layout.gain(row, home) > 0 and layout.stop(row, home) is None:
                    layout.move(row, home)
                    layout.refresh()
                    away = True

    def climb(self) -> None:
        """Take steps of both kinds while the value rises."""
        self.climb_by_moves()
        while not self._budget.is_spent and self._wants_exchange() and self._evict():
            self._exchanges += 1
            self.climb_by_moves()

    def rounds(self) -> None:
        """Ruin and recreate.

        As many rounds as the budget allows, or, without one, as small clusters
        need.
        """
        layout = self._layout
        rows = np.flatnonzero(layout.free)
        if not len(rows) or len(layout.hosts) < 2 or layout.moves_left < 0:
            return
        best, best_value = layout.at.copy(), layout.value
        count = 0
        while not self._budget.is_spent and self._wants_round(count, len(rows)):
            count += 1
            before, value = layout.at.copy(), layout.value
            complete = self._ruin_and_recreate(rows)
            if complete:
                layout.refresh()
                self.climb()
            if complete and self.is_surely_better(best, best_value):
                best, best_value = layout.at.copy(), layout.value
            elif not complete or layout.value < min(
                value, best_value - _STRAYING * abs(best_value)
            ):
                layout.restore(before)
                layout.refresh()
        layout.restore(best)
        layout.refresh()

    def _wants_exchange(self) -> bool:
        """As many as the budget allows, or, without one, few of a large cloud's."""
        if self._budget.is_limited or len(self._layout.guests) <= _GUESTS_FOR_ROUNDS:
            return True
        return self._exchanges < _EXCHANGES

    def _wants_round(self, count: int, guests: int) -> bool:
        if self._budget.is_limited:
            # Rounds that find nothing cost little; nobody waits for ever.
            return count < _ROUNDS * 100
        return guests <= _GUESTS_FOR_ROUNDS and count < _ROUNDS

    def _stop(self, row: int, column: int) -> Stop | None:
        """Why a single move is not made, though it would gain."""
        layout = self._layout
        leaves_home = layout.at[row] == layout.home[row]
        if leaves_home and layout.moves_left < 1:
            return Stop("max-moves", "the plan has no move left")
        if column != layout.home[row] and self._confidence:
            gain = layout.gain(row, column)
            error = layout.error(row, column)
            if gain <= self._confidence * error:
                return Stop(
                    NOISE,
                    f"its gain is not above {self._confidence:g} standard errors",
                )
        return layout.stop(row, column)

    def _evict(self) -> bool:
        """Let a guest take another's place, who goes elsewhere."""
        layout = self._layout
        rows = np.flatnonzero(layout.free & (layout.at != NOWHERE))
        if len(rows) < 2:
            return False
        # Struck moves are those that gain and cannot be made: their gains are
        # asked anew. What the other one gains is its best, wherever that is.
        best, _ = layout.best_gains()
        best = best[rows]
        promising = np.argsort(-best, kind="stable")[:_EVICTORS]
        evictors = np.sort(promising)
        at = layout.at[rows]
        bound = layout.gains_of(rows[evictors])[:, at] + best[np.newaxis]
        bound[at[evictors][:, np.newaxis] == at[np.newaxis]] = -np.inf
        order = _largest(bound, _EVICTIONS_TRIED)
        for flat in order:
            first, second = np.unravel_index(flat, bound.shape)
            if not bound[first, second] > _ROUNDING_PAGES or self._budget.is_spent:
                return False
            if self._exchange(int(rows[evictors[first]]), int(rows[second])):
                return True
        return False

    def _exchange(self, comer: int, leaver: int) -> bool:
        """Put one guest in another's place if that raises the value."""
        layout = self._layout
        before, value = layout.at.copy(), layout.value
        place = int(layout.at[leaver])
        errors = layout.error(comer, place) ** 2
        layout.lift(leaver)
        layout.lift(comer)
        done = False
        if layout.stop(comer, place) is None:
            layout.put(comer, place)
            column = self._best_place(leaver, besides=place)
            if column is not None:
                error = self._confidence * np.sqrt(
                    errors + self._variance(leaver, column)
                )
                layout.put(leaver, column)
                done = (
                    layout.value - value > error + _ROUNDING_PAGES
                    and layout.moves_left >= 0
                )
        if not done:
            layout.restore(before)
        layout.refresh()
        return done

    def _best_place(self, row: int, besides: int = NOWHERE) -> int | None:
        """The host where a guest that is nowhere adds most to the value."""
        layout = self._layout
        worth = layout.shared(row)
        worth[layout.home[row]] += layout.cost[row]
        if besides != NOWHERE:
            worth[besides] = -np.inf
        for column in np.argsort(-worth, kind="stable")[:_EVICTIONS_TRIED]:
            if worth[column] == -np.inf:
                break
            if layout.stop(row, int(column)) is None:
                return int(column)
        return None

    def _ruin_and_recreate(self, rows: Rows) -> bool:
        """Take a few guests off and put them back.

        :returns: whether each has found a place
        """
        layout, random = self._layout, self._random
        if random.random() < 0.5:
            # Of two hosts, to part their guests anew.
            one, other = random.choice(len(layout.hosts), 2, replace=False)
            at = layout.at[rows]
            rows = rows[(at == one) | (at == other)]
        size = int(random.integers(1, _MOST_RUINED + 1))
        ruined = [int(row) for row in random.permutation(rows)[:size]]
        for row in ruined:
            layout.lift(row)
        # The first goes anywhere, so that its kin may follow it there.
        anywhere: int | None = int(random.integers(len(layout.hosts)))
        for row in ruined:
            column = anywhere
            if column is None or layout.stop(row, column) is not None:
                column = self._best_place(row)
            if column is None:
                return False
            layout.put(row, column)
            anywhere = None
        return bool(ruined) and layout.moves_left >= 0

    def _variance(self, row: int, column: int) -> float:
        return self._layout.error(row, column) ** 2

    def is_surely_better(self, at: Rows, value: float) -> bool:
        """Whether the layout is of a higher value than one from before."""
        gain = self._layout.value - value
        if gain <= _ROUNDING_PAGES:
            return False
        rows = np.flatnonzero(self._layout.at != at)
        return gain > self._confidence * self._error_of(rows, at)

    def _error_of(self, rows: Rows, before: Rows) -> float:
        """Standard error of the difference to a layout from before."""
        if not self._confidence:
            return 0.0
        variances = (
            self._variance(int(row), int(before[row]))
            for row in rows
            if before[row] != NOWHERE
        )
        return float(np.sqrt(sum(variances)))


def _largest(values: Floats, count: int) -> Rows:
    """Flat indices of the largest values, largest first."""
    flat = -values.ravel()
    if len(flat) > count:
        # Of equal ones at the edge all, so that the first of them win.
        edge = np.partition(flat, count - 1)[count - 1]
        found = np.flatnonzero(flat <= edge)
    else:
        found = np.arange(len(flat))
    return found[np.argsort(flat[found], kind="stable")][:count]
