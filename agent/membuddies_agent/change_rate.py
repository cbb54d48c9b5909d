# SPDX-License-Identifier: Apache-2.0
"""How fast a guest's pages change, as its scans tell one after another.

For the shelf. Two scans tell which part of the pages has another content, not how
often each of them changed meanwhile. Taken as a Poisson process, as Cho and
Garcia-Molina do ("Estimating Frequency of Change", ACM TOIT 3(3), 2003), a page that
changes r times an hour is still the same after t hours with probability
``exp(-r t)``: where the part c has changed, ``r t = -ln(1 - c)``.
"""

import dataclasses
import math
from typing import Self

from membuddies_nova.facts import MAX_CHANGES_PER_HOUR

_SECONDS_AN_HOUR = 3600.0
# What changed wholly changed nobody knows how often.
_MOST_CHANGED = 0.99


@dataclasses.dataclass(frozen=True, slots=True)
class ChangeRate:
    """Changes and the time in which they were seen, the older half forgotten.

    At each scan both sums are halved before its own share is added: one scan that
    was unlike the others is soon forgotten, and a long gap tells more than a short
    one.

    :ivar changes: of a page, on average
    :ivar hours: in which they came about
    """

    changes: float = 0.0
    hours: float = 0.0

    def after(self, changed: float, elapsed_seconds: float) -> Self:
        """What is known after one more scan; nothing new if no time has passed.

        :param changed: part of the pages that changed since the scan before, 0 to 1
        :param elapsed_seconds: between the two, by a clock that may have been set
        """
        if elapsed_seconds <= 0:
            return self
        return type(self)(
            self.changes / 2 - math.log1p(-min(changed, _MOST_CHANGED)),
            self.hours / 2 + elapsed_seconds / _SECONDS_AN_HOUR,
        )

    @property
    def per_hour(self) -> float | None:
        """Changes of a page in an hour to three digits, None if nothing tells."""
        if not self.hours:
            return None
        rate = min(self.changes / self.hours, MAX_CHANGES_PER_HOUR)
        return float(f"{rate:.3g}")
