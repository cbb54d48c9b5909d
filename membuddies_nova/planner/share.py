# SPDX-License-Identifier: Apache-2.0
"""The union strategy's search for the goal ``share``: most memory saved.

Greedy on the exact marginal gain of the union: the move that saves most is
added, then the gains at its two hosts are computed anew, for only these have
changed. No upper bound of an earlier gain is kept: saving is supermodular, so
a gain can rise as kin arrive.
"""

import numpy as np
import numpy.typing as npt

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.model.index import Floats
from membuddies_nova.model.sharing import PAGES_PER_MB
from membuddies_nova.planner.draft import Draft, Stop

_NO_HOST = -1


class Budget:
    """How many gains a search may still evaluate; None for any number."""

    def __init__(self, evaluations: int | None) -> None:
        self._left = evaluations

    def spend(self, evaluations: int) -> None:
        if self._left is not None:
            self._left -= evaluations

    @property
    def is_spent(self) -> bool:
        return self._left is not None and self._left <= 0


class _Gains:
    """Net gain of every guest at every host, in pages.

    :ivar net: guests x hosts; minus infinity where no move is wanted
    :ivar stops: why moves are left out, by guest and host
    """

    def __init__(self, draft: Draft, budget: Budget) -> None:
        snapshot = draft.snapshot
        self._draft = draft
        self._budget = budget
        self._columns = {host.name: at for at, host in enumerate(snapshot.hosts)}
        self._all_columns = np.arange(len(snapshot.hosts))
        self._hosts = np.array(
            [
                _NO_HOST if at is None else self._columns[at]
                for at in map(draft.occupancy.host_of, draft.model.uuids)
            ]
        )
        self._movable = np.array(
            [
                host != _NO_HOST and not draft.is_fixed(guest)
                for guest, host in zip(snapshot.guests, self._hosts, strict=True)
            ]
        )
        self._shared: Floats = np.zeros((len(snapshot.guests), len(snapshot.hosts)))
        self.net: Floats = np.zeros_like(self._shared)
        self.stops: dict[tuple[int, int], Stop] = {}
        for host in self._columns:
            self._ask(host)
        self._subtract(np.ones(len(self._hosts), np.bool_), self._all_columns)

    def strike(self, row: int, column: int, stop: Stop) -> None:
        """Leave a move out until something changes at one of its hosts."""
        self.net[row, column] = -np.inf
        self.stops[row, column] = stop

    def moved(self, row: int, source: str, destination: str) -> None:
        """Bring the gains up to date after a move."""
        columns = np.array([self._columns[source], self._columns[destination]])
        self._hosts[row] = columns[1]
        self._movable[row] = False
        self._ask(source)
        self._ask(destination)
        # Everything has changed for guests on the two hosts, and the rules may
        # have for members of the guest's server group.
        changed = np.isin(self._hosts, columns)
        guests = self._draft.snapshot.guests
        if (group := guests[row].group) is not None:
            changed |= [guest.group == group for guest in guests]
        self._subtract(changed, self._all_columns)
        self._subtract(~changed, columns)
        self.stops = {
            (each, column): stop
            for (each, column), stop in self.stops.items()
            if not changed[each] and column not in columns
        }

    def _ask(self, host: str) -> None:
        self._shared[:, self._columns[host]] = self._draft.occupancy.gains_at(host)
        self._budget.spend(len(self._shared))

    def _subtract(
        self, rows: npt.NDArray[np.bool_], columns: npt.NDArray[np.int64]
    ) -> None:
        """Set net gains from what is shared there and where the guest is."""
        each = np.flatnonzero(rows & self._movable)
        here = self._shared[each, self._hosts[each]]
        net = self._shared[each] - here[:, np.newaxis]
        net[np.arange(len(each)), self._hosts[each]] = -np.inf
        self.net[np.ix_(each, columns)] = net[:, columns]
        self.net[~self._movable] = -np.inf


def improve(draft: Draft, budget: Budget) -> str:
    """Add the moves that save most, one after another.

    :returns: why there are no more of them
    """
    snapshot, limits = draft.snapshot, draft.limits
    if not snapshot.guests or not snapshot.hosts:
        return "there is nothing to move"
    gains = _Gains(draft, budget)
    threshold = limits.min_gain_mb * PAGES_PER_MB
    while True:
        if draft.moves_left == 0:
            return f"the plan may have {limits.max_moves} moves"
        if budget.is_spent:
            return "the work budget is spent"
        row, column = divmod(int(np.argmax(gains.net)), len(snapshot.hosts))
        if not gains.net[row, column] > threshold:
            break
        guest, host = snapshot.guests[row], snapshot.hosts[column]
        source = draft.occupancy.host_of(guest.uuid)
        stop = uncertain(draft, guest, host) or draft.try_move(guest, host)
        if stop is not None:
            gains.strike(row, column, stop)
        elif source is not None:
            gains.moved(row, source, host.name)
    if gains.stops:
        (row, column), stop = next(iter(gains.stops.items()))
        guest, host = snapshot.guests[row], snapshot.hosts[column]
        return f"moving {guest.name} to {host.name} is stopped by {stop}"
    return f"no further move saves more than {limits.min_gain_mb:g} MB"


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
