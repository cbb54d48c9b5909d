# SPDX-License-Identifier: Apache-2.0
"""Which pages each host holds while guests are moved about in thought.

For each host it keeps how many of its guests hold each page class, so that
moving one guest costs no more than that guest's classes and those of its two
hosts. For a planner; it knows no rule and moves nothing real.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from membuddies_nova.fingerprint.sample import Estimate
from membuddies_nova.model.index import Classes, Floats
from membuddies_nova.model.sharing import SharingModel

Counts = npt.NDArray[np.int32]


@dataclasses.dataclass(slots=True)
class _Holding:
    """The classes that the guests of one host hold, with their holders' number.

    Arrays are replaced, never written to, so copies may share them.
    """

    classes: Classes = dataclasses.field(default_factory=lambda: np.empty(0, np.int32))
    counts: Counts = dataclasses.field(default_factory=lambda: np.empty(0, np.int32))
    unique_pages: float = 0.0
    saved_pages: float = 0.0

    def counts_of(self, classes: Classes) -> Counts:
        """How many guests of the host hold each of these classes."""
        if not len(self.classes):
            return np.zeros(len(classes), np.int32)
        at = np.searchsorted(self.classes, classes)
        at[at == len(self.classes)] = 0
        return np.where(self.classes[at] == classes, self.counts[at], 0)

    def add(self, classes: Classes) -> None:
        joined, where = np.unique(
            np.concatenate((self.classes, classes)), return_inverse=True
        )
        counts = np.zeros(len(joined), np.int32)
        counts[where[: len(self.classes)]] = self.counts
        counts[where[len(self.classes) :]] += 1
        self.classes, self.counts = joined, counts

    def remove(self, classes: Classes) -> None:
        counts = self.counts.copy()
        counts[np.searchsorted(self.classes, classes)] -= 1
        left = counts > 0
        self.classes, self.counts = self.classes[left], counts[left]


class Occupancy:
    """Where guests are in thought, and what their hosts hold there.

    :param hosts: names of all hosts
    :param positions: for each guest its host, None while it is not placed
    """

    def __init__(
        self,
        model: SharingModel,
        hosts: Iterable[str],
        positions: Mapping[str, str | None],
    ) -> None:
        self.model = model
        self._holdings = {host: _Holding() for host in hosts}
        self._guests: dict[str, list[str]] = {host: [] for host in self._holdings}
        self._positions: dict[str, str | None] = dict.fromkeys(positions)
        for guest, host in positions.items():
            if host is not None:
                self._arrive(guest, host)

    def copy(self) -> "Occupancy":
        """An independent copy, which costs no more than the number of guests."""
        copy = Occupancy(self.model, (), {})
        copy._holdings = {
            host: dataclasses.replace(holding)
            for host, holding in self._holdings.items()
        }
        copy._guests = {host: [*guests] for host, guests in self._guests.items()}
        copy._positions = dict(self._positions)
        return copy

    def host_of(self, guest: str) -> str | None:
        return self._positions[guest]

    def guests_on(self, host: str) -> tuple[str, ...]:
        """The host's guests, in the order in which they came."""
        return tuple(self._guests[host])

    def pages(self, host: str) -> float:
        """Unique pages on a host after perfect merging."""
        holding = self._holdings[host]
        return max(holding.unique_pages - holding.saved_pages, 0.0)

    def shared_pages(self, guest: str, host: str) -> float:
        """What a guest shares, or would share, with the others on a host."""
        held = self._classes_of(guest)
        others = self._holdings[host].counts_of(held)
        alone = 1 if self._positions[guest] == host else 0
        return float(self.model.classes.pages[held[others > alone]].sum())

    def net_gain(self, guest: str, host: str) -> Estimate:
        """Pages that moving a guest to another host would save.

        What it shares there, less what it shares where it is now. Pages that it
        shares at both cancel out, in the estimate and in its error.
        """
        held = self._classes_of(guest)
        source = self._positions[guest]
        there = self._holdings[host].counts_of(held) > 0
        here = np.zeros(len(held), np.bool_)
        if source is not None:
            here = self._holdings[source].counts_of(held) > 1
        classes = self.model.classes
        won, lost = held[there & ~here], held[here & ~there]
        return Estimate(
            float(classes.pages[won].sum() - classes.pages[lost].sum()),
            math.sqrt(
                float(classes.variance[won].sum() + classes.variance[lost].sum())
            ),
        )

    def gains_at(self, host: str) -> Floats:
        """What every guest shares, or would share, with the others on a host.

        :returns: pages, one number for each of the model's guests, in its order
        """
        classes = self.model.classes
        holding = self._holdings[host]
        weights = np.zeros(len(classes))
        weights[holding.classes] = classes.pages[holding.classes]
        gains: Floats = classes.holders @ weights
        # A guest does not share with itself: for those on the host a class
        # counts from its second holder on.
        weights[holding.classes[holding.counts < 2]] = 0.0
        rows = [self.model.row(guest) for guest in self._guests[host]]
        gains[rows] = classes.holders[rows] @ weights
        return gains

    def move(self, guest: str, host: str) -> None:
        """Move a guest, or place it for the first time."""
        source = self._positions[guest]
        if source is not None:
            self._leave(guest, source)
        self._arrive(guest, host)

    def _arrive(self, guest: str, host: str) -> None:
        holding = self._holdings[host]
        held = self._classes_of(guest)
        shared = held[holding.counts_of(held) > 0]
        holding.saved_pages += float(self.model.classes.pages[shared].sum())
        holding.unique_pages += self.model.unique_pages(guest)
        holding.add(held)
        self._guests[host].append(guest)
        self._positions[guest] = host

    def _leave(self, guest: str, host: str) -> None:
        holding = self._holdings[host]
        held = self._classes_of(guest)
        holding.remove(held)
        shared = held[holding.counts_of(held) > 0]
        holding.saved_pages -= float(self.model.classes.pages[shared].sum())
        holding.unique_pages -= self.model.unique_pages(guest)
        self._guests[host].remove(guest)
        self._positions[guest] = None

    def _classes_of(self, guest: str) -> Classes:
        return self.model.classes.of_guest(self.model.row(guest))
