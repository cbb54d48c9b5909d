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
from membuddies_nova.model.sharing import PAGES_PER_MB, SharingModel
from membuddies_nova.planner.draft import Draft, Stop
from membuddies_nova.planner.ranking import Ranking
from membuddies_nova.planner.rules.rule import Rule

NOWHERE = -1
NOISE = "net-benefit"
"""Name of what stops a move whose gain may be none."""

_AFTER_ALL_WAVES = 2**31
_OF_WAVES = frozenset({"moves-per-host"})
_ROUNDING_PAGES = 1e-6
_ROWS_AT_A_TIME = 512

Rows = npt.NDArray[np.int64]


class Layout:
    """Guests (rows) on hosts (columns), in the snapshot's order.

    :param model: what gains are computed with
    :param spend: told how many gains have been evaluated
    :ivar at: for each guest the column of its host, ``NOWHERE`` without one
    :ivar home: the same before any move
    :ivar free: for each guest whether it may be moved
    :ivar value: pages saved since the start, less the cost of the moves
    :ivar cost: for each guest the pages that its move must save to be worth it
    :ivar displaced: how many guests are not at home
    """

    def __init__(
        self, draft: Draft, model: SharingModel, spend: Callable[[int], None]
    ) -> None:
        self._draft = draft
        self._model = model
        self._spend = spend
        self.guests: tuple[Guest, ...] = draft.snapshot.guests
        self.hosts: tuple[Host, ...] = draft.snapshot.hosts
        positions = {
            guest.uuid: draft.occupancy.host_of(guest.uuid) for guest in self.guests
        }
        self._situation = draft.situation.fork().in_wave(_AFTER_ALL_WAVES)
        self._occupancy = self._situation.occupancy = Occupancy(
            model, self.hosts, positions
        )
        self._columns = {host.name: at for at, host in enumerate(self.hosts)}
        self.at = np.array(
            [self._columns[name] if name else NOWHERE for name in positions.values()],
            np.int64,
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
        self._situation_rules = tuple(
            rule for rule in draft.rules.situation if rule.name not in _OF_WAVES
        )
        self._least_gain = max(
            _least_certain_pages(model, self.hosts, draft.limits.confidence),
            _ROUNDING_PAGES,
        )
        self._groups = self._group_rows()
        self._kinds, self._is_one_of_many = _kinds(self.guests)
        self._blocked: dict[int, dict[int, int]] = {}
        self._mark = np.zeros(len(model.classes), np.bool_)
        self._classes = [self._occupancy.classes_on(host.name) for host in self.hosts]
        self._shared: Floats = model.classes.held_of_each(self._classes)
        merged = np.array([host.merged_fraction for host in self.hosts])
        self._shared *= merged[:, np.newaxis]
        self._spend(self._shared.size)
        self._ranking = Ranking(
            self._shared, self.at, self.home, self.free, self._kinds, self.cost
        )
        for column in range(len(self.hosts)):
            self._count_residents(column, set())
        self._ranking.update((), range(len(self.guests)))
        self._stale_hosts: set[int] = set()
        self._stale_guests: set[int] = set()

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
        return self._ranking.best(self._least_gain, self.moves_left < 1)

    def strike(self, row: int, column: int, stop: Stop) -> None:
        """Leave a move out until something changes at one of its hosts.

        :param stop: what stops it. A host without room for one guest has none for
            others of its kind; a guest whose best move is lost in noise has no
            better one.
        """
        if stop.rule == NOISE:
            self._ranking.settle(row)
        elif (
            self._is_one_of_many[row]
            and column != self.home[row]
            and any(stop.rule == rule.name for rule in self._situation_rules)
        ):
            kind = int(self._kinds[row])
            self._blocked.setdefault(column, {})[kind] = row
            self._ranking.block(kind, column)
        else:
            self._ranking.strike(row, column)

    def stop(self, row: int, column: int) -> Stop | None:
        """What stops a guest from being on a host in the end, None if nothing does.

        A guest that stays at home needs no leave, unless others came there.
        """
        forbidden = None
        if column != self.home[row]:
            forbidden = self._pair_stop(row, column)
        elif not self._strangers[column]:
            return None
        return forbidden or self._first_stop(self._situation_rules, row, column)

    def has_room(self, row: int, column: int) -> bool:
        """Whether the rules of the situation let a guest come to a host."""
        return self._first_stop(self._situation_rules, row, column) is None

    def kind(self, row: int) -> tuple[int, bool]:
        """What a host has room for, or not, is a kind of guests.

        :returns: its number, and whether only this guest is of it, because of ties
            to others wherever they are
        """
        return int(self._kinds[row]), not self._is_one_of_many[row]

    def never_allows(self, row: int, column: int) -> bool:
        """Whether a guest may not be moved to a host, whatever else is moved."""
        return self._pair_stop(row, column) is not None

    def gain(self, row: int, column: int) -> float:
        """What the value gains when a guest moves to a host, in pages."""
        return self._worth(row, column) - self._worth(row, int(self.at[row]))

    def gains_of(self, rows: Rows) -> Floats:
        """What the value gains by single moves, whether they are allowed or not.

        :returns: guests x hosts, pages; minus infinity where a guest is already
        """
        at, home, numbers = self.at[rows], self.home[rows], np.arange(len(rows))
        worth: Floats = self._shared[:, rows].T
        worth[numbers, home] += self.cost[rows]
        worth -= worth[numbers, at][:, np.newaxis]
        worth[numbers, at] = -np.inf
        return worth

    def best_gains(self) -> tuple[Floats, Rows]:
        """The gain of every guest's best move, allowed or not, and its host.

        :returns: pages, minus infinity for who is not to be moved; columns
        """
        gains = np.full(len(self.guests), -np.inf)
        columns = np.zeros(len(self.guests), np.int64)
        rows = np.flatnonzero(self.free & (self.at != NOWHERE))
        for start in range(0, len(rows), _ROWS_AT_A_TIME):
            part = rows[start : start + _ROWS_AT_A_TIME]
            worth = self.gains_of(part)
            columns[part] = np.argmax(worth, axis=1)
            gains[part] = worth[np.arange(len(part)), columns[part]]
        return gains, columns

    def error(self, row: int, column: int) -> float:
        """Standard error of what a move would save, in pages."""
        return self._occupancy.net_gain(
            self.guests[row].uuid, self.hosts[column].name
        ).standard_error

    def shared(self, row: int) -> Floats:
        """What a guest that is nowhere would share on every host."""
        shares = self._shared[:, row].copy()
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
        """Bring gains up to date after guests were put elsewhere."""
        columns = sorted(self._stale_hosts)
        for column in columns:
            self._follow(column)
        self._spend(len(columns) * len(self.guests))
        self._stale_hosts.clear()
        rows = sorted(self._stale_guests)
        self._stale_guests.clear()
        self._reconsider(columns)
        self._ranking.update(columns, rows)

    def _follow(self, column: int) -> None:
        """Bring what guests share on a host up to date."""
        name = self.hosts[column].name
        before, now = self._classes[column], self._occupancy.classes_on(name)
        self._classes[column] = now
        mark = self._mark
        mark[before] = True
        appeared = now[~mark[now]]
        mark[now] = False
        vanished = before[mark[before]]
        mark[before] = False
        merged = self.hosts[column].merged_fraction
        for classes, factor in ((appeared, merged), (vanished, -merged)):
            if len(classes):
                self._shared[column] += factor * self._model.classes.held_of(classes)
        self._count_residents(column, self._stale_guests)

    def _count_residents(self, column: int, others: set[int]) -> None:
        """Let guests on a host, and some others, share without themselves."""
        name = self.hosts[column].name
        for row in {*self.rows_on(column).tolist(), *others}:
            self._shared[column, row] = self._occupancy.shared_pages(
                self.guests[row].uuid, name
            )

    def _reconsider(self, columns: list[int]) -> None:
        """Ask anew where hosts on which something has changed had no room."""
        for column in columns:
            for kind, row in [*self._blocked.get(column, {}).items()]:
                if (
                    self.at[row] == column
                    or self._first_stop(self._situation_rules, row, column) is None
                ):
                    del self._blocked[column][kind]
                    self._ranking.admit(kind, column)

    def _worth(self, row: int, column: int) -> float:
        shared = float(self._shared[column, row])
        return shared + (self.cost[row] if column == self.home[row] else 0.0)

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


def _kinds(guests: tuple[Guest, ...]) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Number the kinds of guests that rules of the situation tell apart.

    They look at what a guest claims of a host and at its trust scope; also at
    server groups and hints, so who is part of any is of a kind of its own.

    :returns: for each guest its kind, and whether others may be of it
    """
    hinted = {
        uuid
        for guest in guests
        for hint in ("same_host", "different_host")
        for uuid in guest.hinted_guests(hint)
    }
    numbers: dict[object, int] = {}
    kinds, shared = [], []
    for row, guest in enumerate(guests):
        alone = guest.group is not None or guest.hints or guest.uuid in hinted
        claims = (guest.memory_mb, guest.vcpus, guest.disk_gb, guest.trust_key)
        key = row if alone else claims
        kinds.append(numbers.setdefault(key, len(numbers)))
        shared.append(not alone)
    return np.array(kinds, np.int64), np.array(shared, np.bool_)


def _least_certain_pages(
    model: SharingModel, hosts: tuple[Host, ...], confidence: float
) -> float:
    """Gains up to this are within so many standard errors, whatever they are of.

    Where hosts merge alike, n pages have at least their own variance:
    n <= c * sqrt(n * v) is n <= c^2 * v.
    """
    classes = model.classes
    fractions = {host.merged_fraction for host in hosts}
    if not len(classes) or len(fractions) > 1:
        return 0.0
    least = float((classes.variance / classes.pages).min())
    return confidence**2 * least * fractions.pop()
