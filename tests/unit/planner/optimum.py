# SPDX-License-Identifier: Apache-2.0
"""The most that any layout saves, by dynamic programming over sets of guests.

For a dozen guests: the pages of every set are computed once (2^12 unions), and
hosts are filled one after another. Only the two memory rules hold, in the end
state; there is no order of moves.
"""

import functools

import numpy as np

from membuddies_nova.model.snapshot import ClusterSnapshot

PAGES_PER_MB = 256


class Optimum:
    """Exact best layouts of a small cluster with exact samples and one scope."""

    def __init__(self, snapshot: ClusterSnapshot) -> None:
        self.snapshot = snapshot
        self._count = len(snapshot.guests)
        self._sets = np.arange(1 << self._count)
        self.union_pages = self._unions()
        self._home = [
            sum(
                1 << row
                for row, guest in enumerate(snapshot.guests)
                if guest.host == host.name
            )
            for host in snapshot.hosts
        ]
        self._allowed = [self._allowed_on(host) for host in snapshot.hosts]
        for at, home in enumerate(self._home):
            # What is there already may stay, however full the host is.
            self._allowed[at][home] = True

    @property
    def before_pages(self) -> int:
        return int(sum(self.union_pages[home] for home in self._home))

    @functools.cached_property
    def saving_pages(self) -> int:
        """Pages that the best layout saves."""
        best = self._fill(lambda at, sets: self.union_pages[sets].astype(np.float64))
        return self.before_pages - int(best)

    @functools.cached_property
    def fewest_hosts(self) -> int:
        """Hosts that have to be in use."""
        return int(self._fill(lambda at, sets: (sets > 0).astype(np.float64)))

    def fewest_moved(self, saving_pages: float, enough: int) -> int:
        """Guests that have to move for a saving at least this.

        :param enough: a number of guests that is known to do
        """
        # Lexicographic by level: the least pages for each number of moves.
        limit = self.before_pages - saving_pages + 1e-6
        table = np.full((enough, 1 << self._count), np.inf)
        if not enough:
            return 0
        table[0, 0] = 0.0
        for at, _ in enumerate(self.snapshot.hosts):
            arrivals = _ones(self._sets & ~self._home[at])
            following = np.full_like(table, np.inf)
            for part in np.flatnonzero(self._allowed[at] & (arrivals < enough)):
                rest = self._sets[(self._sets & part) == 0]
                moved = arrivals[part]
                source = table[: enough - moved, rest]
                target = following[moved:, rest | part]
                following[moved:, rest | part] = np.minimum(
                    target, source + self.union_pages[part]
                )
            table = following
        fewer = np.flatnonzero(table[:, -1] <= limit)
        return int(fewer[0]) if len(fewer) else enough

    def _fill(self, cost) -> float:
        """The least total cost of putting every guest on some host."""
        best = np.full(1 << self._count, np.inf)
        best[0] = 0.0
        for at, _ in enumerate(self.snapshot.hosts):
            following = np.full_like(best, np.inf)
            parts = np.flatnonzero(self._allowed[at])
            for part, price in zip(parts, cost(at, parts), strict=True):
                rest = self._sets[(self._sets & part) == 0]
                joined = rest | part
                following[joined] = np.minimum(following[joined], best[rest] + price)
            best = following
        return float(best[-1])

    def _unions(self):
        snapshot = self.snapshot
        samples = [snapshot.samples[guest.uuid] for guest in snapshot.guests]
        items, where = np.unique(
            np.concatenate([sample.items for sample in samples]), return_inverse=True
        )
        masks = np.zeros(len(items), np.int64)
        start = 0
        for row, sample in enumerate(samples):
            assert sample.shift == 0
            np.bitwise_or.at(masks, where[start : start + len(sample.items)], 1 << row)
            start += len(sample.items)
        holders, counts = np.unique(masks, return_counts=True)
        union = np.zeros(1 << self._count, np.int64)
        for holder, count in zip(holders, counts, strict=True):
            union[(self._sets & holder) != 0] += count
        return union

    def _allowed_on(self, host):
        memory = np.zeros(1 << self._count, np.int64)
        for row, guest in enumerate(self.snapshot.guests):
            memory[(self._sets >> row) & 1 == 1] += guest.memory_mb
        placement = (host.memory_mb - host.reserved_mb) * host.ram_allocation_ratio
        real = (host.memory_mb - host.reserved_mb) * PAGES_PER_MB
        return (memory <= placement) & (self.union_pages <= real)


def _ones(sets):
    return np.array([int(each).bit_count() for each in sets])
