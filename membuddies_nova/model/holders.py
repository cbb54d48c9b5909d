# SPDX-License-Identifier: Apache-2.0
"""Who holds each sampled item: the inverted index of a group of guests.

Pairs of an item and a guest, sorted by item and cut into parts by its value. A
guest's few changed items are found, taken out and put in without a look at the
rest: what is taken out is only crossed out, what is put in waits in a short list
of its own, and each change tidies up one part, so that no change ever pays for
all. A pair costs twelve bytes.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from membuddies_nova.fingerprint import page
from membuddies_nova.model import index
from membuddies_nova.model.index import Numbers, Pair

Guests = npt.NDArray[np.int32]
"""Numbers of guests."""

_PART_PAIRS = 2**18
_CROSSED_OUT = -1


class Holders:
    """The guests that hold each item, by the guests' numbers.

    :param item_sets: sorted; one of each guest, numbered in this order
    """

    def __init__(self, item_sets: Sequence[page.Ids]) -> None:
        pairs = index.paired(item_sets, _PART_PAIRS)
        nothing = (np.empty(0, np.uint64), np.empty(0, np.int32))
        self._parts = [pair for pair in pairs if len(pair[0])] or [nothing]
        # Where each part but the first begins, for good.
        self._edges = np.array([items[0] for items, _ in self._parts[1:]], np.uint64)
        self._new = nothing
        self._untidy = 0

    @property
    def memory_bytes(self) -> int:
        return sum(
            items.nbytes + guests.nbytes for items, guests in (*self._parts, self._new)
        )

    def grouped(self, guests: int) -> index.Grouped:
        """The items by the set of their holders; to be asked before any change.

        :param guests: how many item sets there are
        """
        return index.grouped(iter(self._parts), guests)

    def lone(self, guests: int) -> Numbers:
        """How many items each guest alone holds; to be asked before any change.

        :param guests: how many item sets there are
        """
        found = np.zeros(guests, np.int64)
        for items, holders in self._parts:
            differs = items[1:] != items[:-1]
            alone = np.append(True, differs) & np.append(differs, True)
            found += np.bincount(holders[alone[: len(items)]], minlength=guests)
        return found

    def take(self, guest: int, items: page.Ids) -> tuple[Numbers, Guests]:
        """Take items out of a guest, and tell who else holds each.

        :param items: sorted, distinct, whether the guest holds them or not
        :returns: an item's place in ``items`` and one of its other holders, for
            each of them
        """
        ends = np.searchsorted(items, self._edges).tolist()
        places, holders = [], []
        for start, end, pair in zip(
            [0, *ends], [*ends, len(items)], self._parts, strict=True
        ):
            if start == end:
                continue
            found, at = _find(pair, items[start:end])
            others = pair[1][at]
            pair[1][at[others == guest]] = _CROSSED_OUT
            keep = (others != guest) & (others != _CROSSED_OUT)
            places.append(found[keep] + start)
            holders.append(others[keep])
        found, at = _find(self._new, items)
        others = self._new[1][at]
        own = others == guest
        self._new = (
            np.delete(self._new[0], at[own]),
            np.delete(self._new[1], at[own]),
        )
        places.append(found[~own])
        holders.append(others[~own])
        return np.concatenate(places), np.concatenate(holders)

    def put(self, guest: int, items: page.Ids) -> None:
        """Let a guest hold items, sorted, none of which it holds yet."""
        self._new = _merged(self._new, (items, np.full(len(items), guest, np.int32)))
        self._tidy()

    def _tidy(self) -> None:
        """Bring the next part in order: with what is new, without what is gone."""
        number = self._untidy
        self._untidy = (number + 1) % len(self._parts)
        bounds = np.searchsorted(self._new[0], self._edges).tolist()
        start, end = list(itertools.pairwise([0, *bounds, len(self._new[0])]))[number]
        items, guests = self._parts[number]
        kept = guests != _CROSSED_OUT
        if start == end and kept.all():
            return
        waiting = (self._new[0][start:end], self._new[1][start:end])
        self._parts[number] = _merged((items[kept], guests[kept]), waiting)
        self._new = (
            np.delete(self._new[0], slice(start, end)),
            np.delete(self._new[1], slice(start, end)),
        )


def _find(pair: Pair, items: page.Ids) -> tuple[Numbers, Numbers]:
    """Where some items stand: places in ``items``, positions in the pair."""
    starts = np.searchsorted(pair[0], items)
    lengths = np.searchsorted(pair[0], items, "right") - starts
    return np.repeat(np.arange(len(items)), lengths), index.spread(starts, lengths)


def _merged(pair: Pair, other: Pair) -> Pair:
    at = np.searchsorted(pair[0], other[0])
    return np.insert(pair[0], at, other[0]), np.insert(pair[1], at, other[1])
