# SPDX-License-Identifier: Apache-2.0
"""What merging saves, by kind, and how far two accounts of it are apart."""

import dataclasses

PAGES_PER_MB = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Savings:
    """Pages that some guests on one host do not need, the three kinds apart.

    :ivar resident: pages in use before
    """

    resident: int
    zero: float
    self_shared: float
    inter_shared: float

    @property
    def saved(self) -> float:
        return self.zero + self.self_shared + self.inter_shared

    def points_off(self, other: "Savings") -> float:
        """The largest difference of a kind or the sum, in points of memory in use."""
        pairs = (
            (self.zero, other.zero),
            (self.self_shared, other.self_shared),
            (self.inter_shared, other.inter_shared),
            (self.saved, other.saved),
        )
        return 100 * max(abs(a - b) for a, b in pairs) / other.resident


@dataclasses.dataclass(frozen=True)
class Row:
    """Some guests: what was predicted for them, and what KSM did.

    :ivar coarse: from samples as agents send them
    :ivar exact: from all pages
    """

    coarse: Savings
    exact: Savings
    measured: Savings
