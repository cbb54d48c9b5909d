# SPDX-License-Identifier: Apache-2.0
"""When each guest is scanned again: by how much of it changed last time.

For the scanner. A guest that holds still is scanned ever more rarely, one that
changes more often, both between two limits; of all that are due the one with
the oldest data comes first. Compare how web crawlers revisit pages (Cho and
Garcia-Molina, "Effective Page Refresh Policies for Web Crawlers", 2003).

What counts as change are the items that sharing is computed with: those that
two scans running have found. Pages that never hold still are not among them, so
a guest whose working set is always in motion is not scanned for that.
"""

import dataclasses
import random
import time
from collections.abc import Callable, Iterable

import numpy as np

from membuddies_agent.procfs import Process
from membuddies_nova.fingerprint.sample import Sample

AIMED_CHANGE = 0.05
"""Between two scans this part of a guest may change: then its interval stays."""

JITTER = 0.1
"""Each interval is varied by this part of it."""

_STEP = 2.0
"""An interval grows and shrinks by no more than this at a time."""

Key = tuple[str, Process]
"""A guest's uuid and its process: one that was started anew is another."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Turn:
    """A guest's last scan.

    :ivar at: when it ended, by the clock
    :ivar due: when the next one may begin
    """

    at: float
    due: float


class Pace:
    """Keeps each guest's time of the next scan.

    :ivar shortest_seconds: between two scans of a guest at least
    :ivar longest_seconds: and at most, if the budget allows
    :param clock: monotonic seconds
    """

    def __init__(
        self,
        shortest_seconds: float,
        longest_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.shortest_seconds = shortest_seconds
        self.longest_seconds = longest_seconds
        self._clock = clock
        self._turns: dict[Key, _Turn] = {}
        self._hurried: set[str] = set()

    def oldest_due(self, guests: Iterable[Key]) -> Key | None:
        """The guest to scan now, None if none is due.

        :param guests: all there are; what is known of others is forgotten
        """
        keys = list(guests)
        self._turns = {key: self._turns[key] for key in keys if key in self._turns}
        now = self._clock()
        never = _Turn(at=float("-inf"), due=float("-inf"))
        due = [
            key
            for key in keys
            if self._turns.get(key, never).due <= now or key[0] in self._hurried
        ]
        return min(due, key=lambda key: self._turns.get(key, never).at, default=None)

    def hurry(self, uuid: str) -> None:
        """Have a guest scanned at its next turn; from any thread."""
        self._hurried.add(uuid)

    def note(self, guest: Key, changed: float | None) -> None:
        """Take note of a scan, whatever came of it.

        :param changed: part of the guest that changed since the scan before,
            None if nothing can be compared
        """
        now = self._clock()
        before = self._turns.get(guest)
        interval = self.shortest_seconds
        if before is not None and changed is not None:
            interval = self.next_interval(now - before.at, changed)
        varied = interval * random.uniform(1 - JITTER, 1 + JITTER)
        self._turns[guest] = _Turn(at=now, due=now + varied)
        self._hurried.discard(guest[0])

    def next_interval(self, elapsed_seconds: float, changed: float) -> float:
        """Seconds until the next scan of a guest.

        :param elapsed_seconds: between its last two scans
        :param changed: part of it that changed in that time, 0 to 1
        """
        step = min(_STEP, AIMED_CHANGE / changed) if changed > 0 else _STEP
        interval = elapsed_seconds * max(step, 1 / _STEP)
        return min(max(interval, self.shortest_seconds), self.longest_seconds)


def changed_fraction(before: Sample, after: Sample) -> float:
    """The part of a guest that changed between two bare samples, 0 to 1.

    What left and what came are both change: it is one less what the two have in
    common, as part of the larger.
    """
    shift = max(before.shift, after.shift)
    old = before.thinned(shift).model_items
    new = after.thinned(shift).model_items
    larger = max(len(old), len(new))
    if not larger:
        return 0.0
    common = len(np.intersect1d(old, new, assume_unique=True))
    return 1.0 - common / larger
