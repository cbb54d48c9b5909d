# SPDX-License-Identifier: Apache-2.0
"""Where every guest could be once all moves are done: what a search changes.

A layout knows no waves. Rules are asked as if each guest came to its host last
and alone, so what leaves has left; whether an order of moves leads there is the
business of :mod:`membuddies_nova.planner.route`.

Its value is the memory saved less what every move must at least save, so the
layout of the highest value is the one worth its moves, and of two that save the
same it is the one with fewer.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.model.index import Floats
from membuddies_nova.model.occupancy import Occupancy
from membuddies_nova.model.sharing import PAGES_PER_MB
from membuddies_nova.planner.draft import Draft, Stop
from membuddies_nova.planner.rules.rule import Rule

NOWHERE = -1
_AFTER_ALL_WAVES = 2**31
_OF_WAVES = frozenset({"moves-per-host"})
_ROUNDING_PAGES = 1e-6

Rows = npt.NDArray[np.int64]


class Layout:
    """Guests (rows) on hosts (columns), in the snapshot's order.

    :ivar at: for each guest the column of its host, ``NOWHERE`` without one
    :ivar home: the same before any move
    :ivar free: for each guest whether it may be moved
    :ivar net: guests x hosts: what the value gains when a guest moves there
        alone, in pages; minus infinity where it may not or is already
    :ivar value: pages saved since the start, less the cost of the moves
    :ivar cost: for each guest the pages that its move must save to be worth it
    :ivar displaced: how many guests are not at home
    """

    def __init__(self, draft: Draft, spend: Callable[[int], None]) -> None:
        self._draft = draft
        self._spend = spend
        self._situation = draft.situation.fork().in_wave(_AFTER_ALL_WAVES)
        self._occupancy = self._situation.occupancy
        self.guests: tuple[Guest, ...] = draft.snapshot.guests
        self.hosts: tuple[Host, ...] = draft.snapshot.hosts
        self._columns = {host.name: at for at, host in enumerate(self.hosts)}
        positions = [self._occupancy.host_of(guest.uuid) for guest in self.guests]
        self.at = np.array(
            [NOWHERE if name is None else self._columns[name] for name in positions]
        )
        self.home = self.at.copy()
        self.free = np.array(
            [
                column != NOWHERE and not draft.is_fixed(guest)
                for guest, column in zip(self.guests, self.at, strict=True)
            ],
            np.bool_,
        )
        self.cost = np.array(
            [draft.least_gain_mb(guest) * PAGES_PER_MB for guest in self.guests]
        )
        self.value = 0.0
        self.displaced = 0
        self._strangers = np.zeros(len(self.hosts), np.int64)
        self._forbidden: dict[tuple[int, int], Stop | None] = {}
        self._situation_rules = [
            rule for rule in draft.rules.situation if rule.name not in _OF_WAVES
        ]
        self._groups = self._group_rows()
        self._shared: Floats = np.zeros((len(self.guests), len(self.hosts)))
        self.net: Floats = np.full_like(self._shared, -np.inf)
        self._best: Floats = np.full(len(self.guests), -np.inf)
        self._best_at: Rows = np.zeros(len(self.guests), np.int64)
        self._stale_hosts = set(range(len(self.hosts)))
        self._stale_guests: set[int] = set()
        self.refresh()

    @property
    def moves_left(self) -> float:
        """How many more guests may leave their homes."""
        left = self._draft.moves_left
        return np.inf if left is None else left - self.displaced

    @property
    def targets(self) -> dict[int, int]:
        """The columns of the guests that are not at home, by row."""
        rows = np.flatnonzero((self.at != self.home) & self.free)
        return {int(row): int(self.at[row]) for row in rows}

    def best_move(self) -> tuple[int, int] | None:
        """The guest and the host of the move that gains most, if any does."""
        row = int(np.argmax(self._best))
        if not self._best[row] > _ROUNDING_PAGES:
            return None
        return row, int(self._best_at[row])

    def strike(self, row: int, column: int) -> None:
        """Leave a move out until something changes at one of its hosts."""
        self.net[row, column] = -np.inf
        self._rank(np.array([row]))

    def stop(self, row: int, column: int) -> Stop | None:
        """What stops a guest from being on a host in the end, None if nothing does.

        A guest that stays at home needs no leave, unless others came there.
        """
        if column != self.home[row]:
            return self.arrival_stop(row, column)
        if not self._strangers[column]:
            return None
        return self._first_stop(self._situation_rules, row, column)

    def arrival_stop(self, row: int, column: int) -> Stop | None:
        """What stops a guest from coming to a host, be it back home."""
        return self._pair_stop(row, column) or self._first_stop(
            self._situation_rules, row, column
        )

    def never_allows(self, row: int, column: int) -> bool:
        """Whether a guest may not be moved to a host, whatever else is moved."""
        return self._pair_stop(row, column) is not None

    def gains_of(self, rows: Rows) -> Floats:
        """``net`` of some guests, with the moves that were struck out."""
        columns = np.arange(len(self.hosts))
        return self._differences(rows, columns)

    def error(self, row: int, column: int) -> float:
        """Standard error of what a move would save, in pages."""
        return self._occupancy.net_gain(
            self.guests[row].uuid, self.hosts[column].name
        ).standard_error

    def shared(self, row: int) -> Floats:
        """What a guest that is nowhere would share on every host."""
        shares = self._shared[row].copy()
        uuid = self.guests[row].uuid
        for column in self._stale_hosts:
            shares[column] = self._occupancy.shared_pages(uuid, self.hosts[column].name)
        self._spend(len(self._stale_hosts))
        return shares

    def lift(self, row: int) -> None:
        """Take a guest off its host."""
        guest, column = self.guests[row], int(self.at[row])
        self.value -= self._occupancy.shared_pages(guest.uuid, self.hosts[column].name)
        if column != self.home[row]:
            self.value += self.cost[row]
            self.displaced -= 1
            self._strangers[column] -= 1
            self._situation.lift(guest, self.hosts[column])
        else:
            self._occupancy.lift(guest.uuid)
        self._changed(row, column, NOWHERE)

    def put(self, row: int, column: int) -> None:
        """Put a guest that is nowhere on a host."""
        guest, host = self.guests[row], self.hosts[column]
        self.value += self._occupancy.shared_pages(guest.uuid, host.name)
        if column != self.home[row]:
            self.value -= self.cost[row]
            self.displaced += 1
            self._strangers[column] += 1
            self._situation.put(guest, host)
        else:
            self._occupancy.move(guest.uuid, host.name)
        self._changed(row, column, column)

    def move(self, row: int, column: int) -> None:
        self.lift(row)
        self.put(row, column)

    def restore(self, at: Rows) -> None:
        """Put every guest where it was."""
        rows = np.flatnonzero(self.at != at)
        for row in rows:
            if self.at[row] != NOWHERE:
                self.lift(int(row))
        for row in rows:
            if at[row] != NOWHERE:
                self.put(int(row), int(at[row]))

    def targets_of(self, occupancy: Occupancy) -> dict[int, int]:
        """The columns of the guests that are not at home in an occupancy."""
        found = {}
        for row in np.flatnonzero(self.free):
            host = occupancy.host_of(self.guests[row].uuid)
            if host is not None and self._columns[host] != self.home[row]:
                found[int(row)] = self._columns[host]
        return found

    def take(self, targets: Mapping[int, int]) -> None:
        """Put the guests that have targets there, and all others home."""
        at = self.home.copy()
        for row, column in targets.items():
            at[row] = column
        self.restore(at)

    def saved_pages(self, rows: Iterable[int], column: int) -> float:
        """Pages that guests would save together on a host."""
        guests = [self.guests[row].uuid for row in rows]
        saved = self._occupancy.model.saved_pages(guests).pages
        return saved * self.hosts[column].merged_fraction

    def rows_on(self, column: int) -> Rows:
        """The guests on a host."""
        return np.flatnonzero(self.at == column)

    def refresh(self) -> None:
        """Bring ``net`` up to date after guests were put elsewhere."""
        columns = np.array(sorted(self._stale_hosts), np.int64)
        for column in columns:
            self._shared[:, column] = self._occupancy.gains_at(self.hosts[column].name)
        self._spend(len(columns) * len(self.guests))
        rows = np.isin(self.at, columns)
        rows[list(self._stale_guests)] = True
        self._stale_hosts.clear()
        self._stale_guests.clear()
        all_columns = np.arange(len(self.hosts))
        changed = np.flatnonzero(rows & self.free & (self.at != NOWHERE))
        self._subtract(changed, all_columns)
        others = np.flatnonzero(~rows & self.free & (self.at != NOWHERE))
        self._subtract(others, columns)
        if len(columns) and len(others):
            # Their best is another one only if it changed, or was passed.
            best = self.net[np.ix_(others, columns)].max(axis=1)
            again = np.isin(self._best_at[others], columns)
            again |= best > self._best[others]
            changed = np.concatenate((changed, others[again]))
        self._rank(changed)

    def _subtract(self, rows: Rows, columns: Rows) -> None:
        """Set net gains of these guests at these hosts."""
        if not len(rows) or not len(columns):
            return
        self.net[np.ix_(rows, columns)] = self._differences(rows, columns)

    def _differences(self, rows: Rows, columns: Rows) -> Floats:
        """What the value gains by single moves; guests x hosts."""
        at, home = self.at[rows], self.home[rows]
        cost = self.cost[rows]
        here = self._shared[rows, at] - cost * (at != home)
        there: Floats = self._shared[np.ix_(rows, columns)]
        away = columns[np.newaxis] != home[:, np.newaxis]
        there -= cost[:, np.newaxis] * away
        there -= here[:, np.newaxis]
        there[columns[np.newaxis] == at[:, np.newaxis]] = -np.inf
        return there

    def _rank(self, rows: Rows) -> None:
        if len(rows):
            self._best_at[rows] = np.argmax(self.net[rows], axis=1)
            self._best[rows] = self.net[rows, self._best_at[rows]]

    def _changed(self, row: int, host: int, now: int) -> None:
        self.at[row] = now
        self._stale_hosts.add(host)
        self._stale_guests.add(row)
        group = self.guests[row].group
        if group is not None:
            self._stale_guests.update(self._groups[group.name])

    def _group_rows(self) -> dict[str, list[int]]:
        groups: dict[str, list[int]] = {}
        for row, guest in enumerate(self.guests):
            if guest.group is not None:
                groups.setdefault(guest.group.name, []).append(row)
        return groups

    def _pair_stop(self, row: int, column: int) -> Stop | None:
        key = (row, column)
        if key not in self._forbidden:
            self._forbidden[key] = self._first_stop(self._draft.rules.pair, row, column)
        return self._forbidden[key]

    def _first_stop(self, rules: Iterable[Rule], row: int, column: int) -> Stop | None:
        guest, host = self.guests[row], self.hosts[column]
        for rule in rules:
            if sentence := rule.stops(guest, host, self._situation):
                return Stop(rule.name, sentence)
        return None
