# SPDX-License-Identifier: Apache-2.0
"""What the guests of each profile hold together, and where it is to be found.

A row is a profile within one trust scope. Its consensus are the items that more
than half of its teachers hold. Such an item weighs as many as hold it: with n
teachers, c of whom hold it, a new guest holds it with c / (n + 1).

All that is kept between changes are sums of whole numbers, which come out the
same in whatever order they were added and taken away. The division by n + 1
comes last.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from membuddies_nova.fingerprint import page
from membuddies_nova.model.index import Floats

Flags = npt.NDArray[np.bool_]

_ROOT_STEPS = float(2**20)
"""Square roots are rounded to a step this fine, so that their sums are whole."""

_NO_ITEMS = (np.empty(0, np.uint64), np.empty(0))


class Consensus:
    """The rows of one trust scope. Arrays hold whole numbers.

    :ivar sizes: teachers of each row; 0 where there is no row
    :ivar expected: rows x columns of hosts: weights of the consensus items there
    :ivar overlap: rows x rows: the roots of two weights' products, for the items
        that are in both consensus
    """

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.sizes: Floats = np.zeros(0)
        self.expected: Floats = np.zeros((0, 0))
        self.overlap: Floats = np.zeros((0, 0))
        # Of each row the items that two teachers or more hold, and how many do:
        # those that may come into the consensus when another teacher goes.
        self._known: list[tuple[page.Ids, Floats]] = []
        self._free: list[int] = []

    @property
    def memory_bytes(self) -> int:
        known = sum(items.nbytes + counts.nbytes for items, counts in self._known)
        return known + self.expected.nbytes + self.overlap.nbytes

    def numbers(self, profiles: Iterable[str]) -> tuple[int, ...]:
        """The rows of some profiles, ascending, made where there are none."""
        return tuple(sorted({self._number(profile) for profile in profiles}))

    def room(self, columns: int) -> None:
        """Have room for so many hosts."""
        rows = len(self.sizes)
        if columns > self.expected.shape[1]:
            self.expected = grown(self.expected, (rows, columns))

    def weights(self, counts: Floats) -> Floats:
        """What items weigh, by how many teachers of each row hold them."""
        return np.where(2.0 * counts > self.sizes, counts, 0.0)

    def add(self, counts: Floats, there: Flags, times: Floats) -> None:
        """Count items for the first time.

        :param counts: teachers that hold each; items x rows
        :param there: whether a guest of each host holds it; items x columns
        :param times: how often each item counts
        """
        weights = self.weights(counts)
        self.expected += (weights * times[:, np.newaxis]).T @ there
        for row in np.flatnonzero(weights.any(axis=0)).tolist():
            self.overlap[row] += _roots(weights, row, times)

    def learn(self, row: int, items: page.Ids, counts: Floats) -> None:
        """Remember the items, ascending, that several teachers of a row hold."""
        self._known[row] = (items, counts)

    def on_the_edge(self, row: int, size: int) -> page.Ids:
        """Items that come into the consensus, or leave it, with so many teachers.

        Those that one teacher alone holds are not known here.
        """
        items, counts = self._known[row]
        return items[(2.0 * counts > self.sizes[row]) != (2.0 * counts > size)]

    def change(
        self,
        items: page.Ids,
        sizes: Floats,
        counts: tuple[Floats, Floats],
        there: tuple[Flags, Flags],
        columns: Sequence[int],
    ) -> None:
        """Count items otherwise than before.

        :param items: all whose counts, weights or hosts change, ascending
        :param sizes: the rows' teachers after it
        :param counts: before and after, as for :meth:`add`
        :param there: before and after, likewise
        :param columns: where these differ
        """
        before = self.weights(counts[0])
        self.sizes = sizes
        after = self.weights(counts[1])
        for column in columns:
            came = there[1][:, column].astype(np.float64) - there[0][:, column]
            at = np.flatnonzero(came)
            self.expected[:, column] += before[at].T @ came[at]
        rows = np.flatnonzero((after != before).any(axis=0))
        changed = after[:, rows] - before[:, rows]
        self.expected[rows] += changed.T @ there[1]
        once = np.ones(len(items))
        for row in rows.tolist():
            self.overlap[row] += _roots(after, row, once)
            self.overlap[row] -= _roots(before, row, once)
        self.overlap[:, rows] = self.overlap[rows].T
        retold = (counts[0] != counts[1]).any(axis=0)
        for row in np.flatnonzero(retold).tolist():
            self._known[row] = _updated(self._known[row], items, counts[1][:, row])
        self._forget_empty()

    def _number(self, profile: str) -> int:
        if profile not in self.rows:
            if not self._free:
                self._add_rows(len(self.sizes) // 4 + 4)
            self.rows[profile] = self._free.pop()
        return self.rows[profile]

    def _add_rows(self, more: int) -> None:
        old, rows = len(self.sizes), len(self.sizes) + more
        self.sizes = grown(self.sizes, (rows,))
        self.expected = grown(self.expected, (rows, self.expected.shape[1]))
        self.overlap = grown(self.overlap, (rows, rows))
        self._known += [_NO_ITEMS] * more
        self._free += reversed(range(old, rows))

    def _forget_empty(self) -> None:
        """Without teachers a row's sums have come back to nothing."""
        for profile in [name for name, row in self.rows.items() if not self.sizes[row]]:
            self._free.append(self.rows.pop(profile))


def grown(array: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The array with zeros behind it, in each direction."""
    result = np.zeros(shape, array.dtype)
    result[tuple(map(slice, array.shape))] = array
    return result


def _roots(weights: Floats, row: int, times: Floats) -> Floats:
    """The sums of the roots of a row's weights times each row's."""
    at = np.flatnonzero(weights[:, row])
    roots = np.rint(np.sqrt(weights[at] * weights[at, row, np.newaxis]) * _ROOT_STEPS)
    sums: Floats = times[at] @ roots
    return sums


def in_steps(roots: Floats) -> Floats:
    """Sums of roots, of what :attr:`Consensus.overlap` holds."""
    return roots / _ROOT_STEPS


def _updated(
    known: tuple[page.Ids, Floats], items: page.Ids, counts: Floats
) -> tuple[page.Ids, Floats]:
    kept = np.isin(known[0], items, assume_unique=True, invert=True)
    new = counts >= 2.0
    items = np.concatenate((known[0][kept], items[new]))
    counts = np.concatenate((known[1][kept], counts[new]))
    order = np.argsort(items, kind="stable")
    return items[order], counts[order]
