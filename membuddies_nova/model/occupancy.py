# SPDX-License-Identifier: Apache-2.0
"""Which pages each host holds while guests are moved about in thought.

For each host it keeps how many of its guests hold each page class, so that
moving one guest costs little more than that guest's classes. For a planner; it
knows no rule and moves nothing real.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from membuddies_nova.cluster import Host
from membuddies_nova.fingerprint.sample import Estimate
from membuddies_nova.model.index import Classes, Floats
from membuddies_nova.model.sharing import SharingModel

Counts = npt.NDArray[np.int16]
"""For each class how many guests of one host hold it."""


@dataclasses.dataclass(slots=True)
class _Holding:
    """How many of a host's guests hold each class.

    The array is replaced, never written to, so copies may share it.
    """

    counts: Counts
    unique_pages: float = 0.0
    saved_pages: float = 0.0

    def change(self, classes: Classes, by: int) -> None:
        counts = self.counts.copy()
        counts[classes] += by
        self.counts = counts


class Occupancy:
    """Where guests are in thought, and what their hosts hold there.

    Sharing counts as far as a host merges it (``Host.merged_fraction``).

    :param hosts: all of them
    :param positions: for each guest its host, None while it is not placed
    """

    def __init__(
        self,
        model: SharingModel,
        hosts: Iterable[Host],
        positions: Mapping[str, str | None],
    ) -> None:
        self.model = model
        fractions = {host.name: host.merged_fraction for host in hosts}
        self._fractions = fractions
        empty = np.zeros(len(model.classes), np.int16)
        self._holdings = {host: _Holding(empty) for host in fractions}
        self._guests: dict[str, list[str]] = {host: [] for host in self._holdings}
        self._positions: dict[str, str | None] = dict.fromkeys(positions)
        for guest, host in positions.items():
            if host is not None:
                self._arrive(guest, host)

    def copy(self) -> "Occupancy":
        """An independent copy, which costs no more than guests and hosts."""
        copy = Occupancy(self.model, (), {})
        copy._fractions = self._fractions
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
        others = self._holdings[host].counts[held]
        alone = 1 if self._positions[guest] == host else 0
        shared = float(self.model.classes.pages[held[others > alone]].sum())
        return shared * self._fractions[host]

    def net_gain(self, guest: str, host: str) -> Estimate:
        """Pages that moving a guest to another host would save.

        What it shares there, less what it shares where it is now. Pages that it
        shares at both cancel out, in the estimate and in its error.
        """
        held = self._classes_of(guest)
        source = self._positions[guest]
        won = (self._holdings[host].counts[held] > 0) * self._fractions[host]
        if source is not None:
            won -= (self._holdings[source].counts[held] > 1) * self._fractions[source]
        classes = self.model.classes
        return Estimate(
            float(won @ classes.pages[held]),
            math.sqrt(float(np.square(won) @ classes.variance[held])),
        )

    def gains_at(self, host: str) -> Floats:
        """What every guest shares, or would share, with the others on a host.

        :returns: pages, one number for each of the model's guests, in its order
        """
        classes = self.model.classes
        present = self._holdings[host].counts > 0
        gains: Floats = classes.holders @ np.where(present, classes.pages, 0.0)
        gains *= self._fractions[host]
        # A guest does not share with itself: for those on the host a class
        # counts from its second holder on.
        for guest in self._guests[host]:
            gains[self.model.row(guest)] = self.shared_pages(guest, host)
        return gains

    def move(self, guest: str, host: str) -> None:
        """Move a guest, or place it for the first time."""
        if self._positions[guest] is not None:
            self.lift(guest)
        self._arrive(guest, host)

    def lift(self, guest: str) -> None:
        """Take a guest off its host, as if it were not placed yet."""
        host = self._positions[guest]
        assert host is not None
        holding = self._holdings[host]
        holding.saved_pages -= self.shared_pages(guest, host)
        holding.unique_pages -= self.model.unique_pages(guest)
        holding.change(self._classes_of(guest), -1)
        self._guests[host].remove(guest)
        self._positions[guest] = None

    def _arrive(self, guest: str, host: str) -> None:
        holding = self._holdings[host]
        holding.saved_pages += self.shared_pages(guest, host)
        holding.unique_pages += self.model.unique_pages(guest)
        holding.change(self._classes_of(guest), 1)
        self._guests[host].append(guest)
        self._positions[guest] = host

    def _classes_of(self, guest: str) -> Classes:
        return self.model.classes.of_guest(self.model.row(guest))
