# SPDX-License-Identifier: Apache-2.0
"""The best layout that any order of single moves leads to, by looking at them all.

The optimum over sets knows only end states. Where hosts are full, many of these
cannot be reached: a guest arrives unshared, and what leaves must have left. Here
all layouts (hosts ^ guests, up to 4^12) that single moves reach from the start
are found, breadth first, under the two memory rules. A wave of several moves
reaches nothing that single moves do not.
"""

import numpy as np

from membuddies_nova.model.snapshot import ClusterSnapshot
from tests.unit.planner.optimum import PAGES_PER_MB, Optimum

_PART = 1 << 18
_FAR = 255


class Reachable:
    """All layouts that can be reached in a small cluster.

    :ivar codes: a number for each layout, guest n's host in its n-th digit
    :ivar saved_pages: what each of them saves
    :ivar lengths: how many moves lead to each of them at least
    """

    def __init__(self, snapshot: ClusterSnapshot) -> None:
        optimum = Optimum(snapshot)
        self._hosts, self._guests = len(snapshot.hosts), len(snapshot.guests)
        self._powers = self._hosts ** np.arange(self._guests, dtype=np.int64)
        names = [host.name for host in snapshot.hosts]
        home = np.array([names.index(guest.host) for guest in snapshot.guests])
        self._arrival = self._arrivals(snapshot, optimum.union_pages)
        depths = self._depths_from(int(home @ self._powers))
        self.codes = np.flatnonzero(depths != _FAR)
        self.lengths = depths[self.codes]
        union = np.zeros(len(self.codes), np.int64)
        for host in range(self._hosts):
            union += optimum.union_pages[self._masks(self.codes, host)]
        self.saved_pages = optimum.before_pages - union

    @property
    def best_saved_pages(self) -> int:
        return int(self.saved_pages.max())

    @property
    def fewest_hosts(self) -> int:
        """Hosts in use in the layout that leaves most of them empty."""
        used = sum(
            (self._masks(self.codes, host) > 0).astype(np.int64)
            for host in range(self._hosts)
        )
        return int(used.min())

    def fewest_moves(self, saving_pages: float) -> int:
        """Moves that it takes, those of guests that have to wait elsewhere included.

        :param saving_pages: to reach at least
        """
        enough = self.saved_pages >= saving_pages - 1e-6
        return int(self.lengths[enough].min())

    def _depths_from(self, start):
        depths = np.full(self._hosts**self._guests, _FAR, np.uint8)
        depths[start] = depth = 0
        frontier = np.array([start])
        while len(frontier):
            depth += 1
            following = [
                self._from(frontier[at : at + _PART], depths, depth)
                for at in range(0, len(frontier), _PART)
            ]
            frontier = np.concatenate(following)
        return depths

    def _from(self, codes, depths, depth):
        """Layouts one move away that were not seen; they are now."""
        masks = [self._masks(codes, host) for host in range(self._hosts)]
        found = []
        for guest in range(self._guests):
            at = self._at(codes, guest)
            for host in range(self._hosts):
                may = (at != host) & self._arrival[host][guest][masks[host]]
                to = codes[may] + (host - at[may]) * self._powers[guest]
                to = np.unique(to[depths[to] == _FAR])
                depths[to] = depth
                found.append(to)
        return np.concatenate(found)

    def _at(self, codes, guest):
        return codes // self._powers[guest] % self._hosts

    def _masks(self, codes, host):
        masks = np.zeros(len(codes), np.int64)
        for guest in range(self._guests):
            masks |= (self._at(codes, guest) == host).astype(np.int64) << guest
        return masks

    def _arrivals(self, snapshot, union_pages):
        """For each host, guest and set of guests there: whether it may come."""
        sets = np.arange(1 << self._guests)
        memory = sum(
            (sets >> row & 1) * guest.memory_mb
            for row, guest in enumerate(snapshot.guests)
        )
        return [
            [
                (
                    memory + guest.memory_mb
                    <= (host.memory_mb - host.reserved_mb) * host.ram_allocation_ratio
                )
                & (
                    union_pages / PAGES_PER_MB + guest.memory_mb
                    <= host.memory_mb - host.reserved_mb
                )
                for guest in snapshot.guests
            ]
            for host in snapshot.hosts
        ]
