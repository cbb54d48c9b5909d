# SPDX-License-Identifier: Apache-2.0
"""For each guest the best host that may take it, kept while guests move.

A move changes what is shared on two hosts only, and where a guest is best off
changes only if it passes there, or if its best host is one of them. So keeping
the ranking costs little more than looking at two hosts.

It reads a layout's arrays, which change under it, and is told where they did.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from membuddies_nova.model.index import Floats

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_ROWS_AT_A_TIME = 512


class Ranking:
    """Guests (rows) with their best hosts (columns).

    :param shared: hosts x guests, pages; what a guest shares with the others there
    :param at: for each guest the column of its host
    :param home: the same before any move
    :param free: for each guest whether it may be moved
    :param kinds: for each guest its kind; what a host has no room for is a kind
    :param cost: for each guest the pages that it gains by being at home
    """

    def __init__(
        self,
        shared: Floats,
        at: Rows,
        home: Rows,
        free: Flags,
        kinds: Rows,
        cost: Floats,
    ) -> None:
        self._shared, self._at, self._home = shared, at, home
        self._free, self._kinds, self._cost = free, kinds, cost
        hosts, guests = shared.shape
        self._room = np.ones((int(kinds.max(initial=0)) + 1, hosts), np.bool_)
        self._struck: dict[int, set[int]] = {}
        self._struck_at: dict[int, set[int]] = {}
        self._settled = np.zeros(guests, np.bool_)
        self._here = np.zeros(guests)
        self._worth = np.full(guests, -np.inf)
        self._best = np.zeros(guests, np.int64)

    def best(self, least: float, only_displaced: bool) -> tuple[int, int] | None:
        """The guest and the host of the move that gains most.

        :param least: pages; moves that do not lead home gain more, or are left out
        :param only_displaced: leave guests out that are at home
        """
        if not len(self._worth):
            return None
        gains = self._worth - self._here
        gains[self._settled] = -np.inf
        gains[(gains <= least) & (self._best != self._home)] = -np.inf
        if only_displaced:
            gains[self._at == self._home] = -np.inf
        row = int(np.argmax(gains))
        return (row, int(self._best[row])) if gains[row] > 0 else None

    def block(self, kind: int, column: int) -> None:
        """A host has no room for a kind of guests; who is at home there may return."""
        self._room[kind, column] = False
        self._rank(
            np.flatnonzero(self._free & (self._kinds == kind) & (self._best == column))
        )

    def admit(self, kind: int, column: int) -> None:
        """A host may have room for a kind again; to be followed by ``update``."""
        self._room[kind, column] = True

    def strike(self, row: int, column: int) -> None:
        """Leave a move out until something changes at one of its hosts."""
        self._struck.setdefault(row, set()).add(column)
        self._struck_at.setdefault(column, set()).add(row)
        self._rank(np.array([row]))

    def settle(self, row: int) -> None:
        """Leave a guest out until its host changes, or there is a better one."""
        self._settled[row] = True

    def update(self, columns: Sequence[int], moved: Iterable[int]) -> None:
        """Follow what has changed.

        :param columns: hosts on which something has
        :param moved: guests that are elsewhere, or of whom rules may think anew
        """
        again = np.zeros(len(self._at), np.bool_)
        again[list(moved)] = True
        # One place more than there are hosts, for those that are nowhere.
        changed = np.zeros(len(self._shared) + 1, np.bool_)
        changed[columns] = True
        near = np.flatnonzero(again | changed[self._at])
        self._settled[near] = False
        self._release(near.tolist(), columns, again)
        placed = near[self._at[near] >= 0]
        at = self._at[placed]
        self._here[placed] = self._shared[at, placed] + self._cost[placed] * (
            at == self._home[placed]
        )
        for column in columns:
            worth = self._worth_at(column)
            again |= (self._best == column) & (worth < self._worth)
            better = worth > self._worth
            self._worth[better] = worth[better]
            self._best[better] = column
            self._settled[better] = False
        self._rank(np.flatnonzero(again & self._free))

    def _release(self, rows: list[int], columns: Sequence[int], again: Flags) -> None:
        """Forget what was struck out at these guests and hosts."""
        for column in columns:
            for row in self._struck_at.pop(column, ()):
                self._struck[row].discard(column)
        for row in rows:
            for column in self._struck.pop(row, ()):
                again[row] = True
                if column in self._struck_at:
                    self._struck_at[column].discard(row)

    def _worth_at(self, column: int) -> Floats:
        """What a host is worth to every guest, minus infinity if it is forbidden."""
        at_home = self._home == column
        worth: Floats = self._shared[column] + self._cost * at_home
        forbidden = ~self._free | (self._at == column)
        forbidden |= ~(self._room[:, column][self._kinds] | at_home)
        worth[forbidden] = -np.inf
        worth[list(self._struck_at.get(column, ()))] = -np.inf
        return worth

    def _rank(self, rows: Rows) -> None:
        """Look for the best hosts of these guests among all."""
        for start in range(0, len(rows), _ROWS_AT_A_TIME):
            part = rows[start : start + _ROWS_AT_A_TIME]
            numbers = np.arange(len(part))
            at, home = self._at[part], self._home[part]
            worth = self._shared[:, part]
            worth[home, numbers] += self._cost[part]
            allowed = self._room[self._kinds[part]].T
            allowed[home, numbers] = True
            allowed[at, numbers] = False
            for number, row in enumerate(part.tolist()):
                struck = self._struck.get(row)
                if struck:
                    allowed[list(struck), number] = False
            worth[~allowed] = -np.inf
            best = np.argmax(worth, axis=0)
            self._best[part] = best
            self._worth[part] = worth[best, numbers]
