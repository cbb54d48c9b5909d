# SPDX-License-Identifier: Apache-2.0
"""Which pages each host holds while guests are moved about in thought.

For each host it keeps the page classes that its guests hold and how many of them
hold each, so that moving one guest costs little more than the classes on two
hosts, and memory grows with what is held, not with hosts times classes. For a
planner; it knows no rule and moves nothing real.
"""

import dataclasses
import math
import types
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from membuddies_nova.cluster import Host
from membuddies_nova.fingerprint.sample import Estimate
from membuddies_nova.model.index import Classes
from membuddies_nova.model.sharing import SharingModel

Counts = npt.NDArray[np.int32]
"""How many guests of one host hold a class."""

_NO_CLASSES = np.empty(0, np.int32)
_NO_PLACES: Mapping[str, str] = types.MappingProxyType({})


@dataclasses.dataclass(slots=True)
class _Holding:
    """What the guests of one host hold.

    The arrays are replaced, never written to, so copies may share them.

    :ivar classes: held by any of them, ascending
    :ivar counts: for each of these by how many
    """

    classes: Classes = dataclasses.field(default_factory=lambda: _NO_CLASSES)
    counts: Counts = dataclasses.field(default_factory=lambda: _NO_CLASSES)
    unique_pages: float = 0.0
    saved_pages: float = 0.0


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
        self._fractions = {host.name: host.merged_fraction for host in hosts}
        self._holdings = {host: _Holding() for host in self._fractions}
        self._guests: dict[str, list[str]] = {host: [] for host in self._holdings}
        self._positions: dict[str, str | None] = dict.fromkeys(positions)
        self._desk = np.zeros(len(model.classes), np.int32)
        self._on_desk = _Holding()
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
        others = self._counts(host)[held]
        alone = 1 if self._positions[guest] == host else 0
        shared = float(self.model.classes.pages[held[others > alone]].sum())
        return shared * self._fractions[host]

    def net_gain(
        self, guest: str, host: str, places: Mapping[str, str] = _NO_PLACES
    ) -> Estimate:
        """Pages that moving a guest to another host would save.

        What it shares there, less what it shares where it is now. Pages that it
        shares at both cancel out, in the estimate and in its error.

        :param places: hosts of other guests that would be moved before; to ask so
            costs a fraction of moving them and back
        """
        held = self._classes_of(guest)
        source = self._positions[guest]
        won = (self._counts_after(places, host, held) > 0) * self._fractions[host]
        if source is not None:
            here = self._counts_after(places, source, held)
            won -= (here > 1) * self._fractions[source]
        classes = self.model.classes
        return Estimate(
            float(won @ classes.pages[held]),
            math.sqrt(float(np.square(won) @ classes.variance[held])),
        )

    def classes_on(self, host: str) -> Classes:
        """The page classes that a host's guests hold, ascending; not to be changed."""
        return self._holdings[host].classes

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
        counts = self._counts(host)
        counts[self._classes_of(guest)] -= 1
        left = counts[holding.classes]
        holding.classes = holding.classes[left > 0]
        holding.counts = left[left > 0]
        self._guests[host].remove(guest)
        self._positions[guest] = None

    def _arrive(self, guest: str, host: str) -> None:
        holding = self._holdings[host]
        holding.saved_pages += self.shared_pages(guest, host)
        holding.unique_pages += self.model.unique_pages(guest)
        counts, held = self._counts(host), self._classes_of(guest)
        new = held[counts[held] == 0]
        counts[held] += 1
        # Two ascending runs: a stable sort merges them.
        holding.classes = np.sort(np.concatenate((holding.classes, new)), kind="stable")
        holding.counts = counts[holding.classes]
        self._guests[host].append(guest)
        self._positions[guest] = host

    def _classes_of(self, guest: str) -> Classes:
        return self.model.classes.of_guest(self.model.row(guest))

    def _counts(self, host: str) -> Counts:
        """For every class how many of a host's guests hold it.

        One array serves all hosts in turn: it is valid until the next question.
        """
        holding = self._holdings[host]
        if holding is not self._on_desk:
            self._desk[self._on_desk.classes] = 0
            self._desk[holding.classes] = holding.counts
            self._on_desk = holding
        return self._desk

    def _counts_after(
        self, places: Mapping[str, str], host: str, classes: Classes
    ) -> Counts:
        """How many of a host's guests hold some classes, had others moved before."""
        counts = self._counts(host)
        changes = [
            (self._classes_of(guest), 1 if place == host else -1)
            for guest, place in places.items()
            if (place == host) != (self._positions[guest] == host)
        ]
        for held, change in changes:
            counts[held] += change
        found = counts[classes]
        for held, change in changes:
            counts[held] -= change
        return found
