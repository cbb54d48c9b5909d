# SPDX-License-Identifier: Apache-2.0
"""A plan: live migrations in an order, each with its reason.

The planner makes these values, the database keeps them, the rebalancer runs
them and the command line prints them. A plan never changes; what becomes of
its moves is the database's matter.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any


class Goal(enum.StrEnum):
    """What a plan is for."""

    SHARE = "share"
    CONSOLIDATE = "consolidate"
    RELIEVE = "relieve"


class Verdict(enum.StrEnum):
    """Whether the planner recommends to move anything."""

    MOVE = "move"
    STAY = "stay"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostUse:
    """A host's guests and the pages that they hold after perfect merging."""

    pages: float
    guests: tuple[str, ...]

    @property
    def mb(self) -> float:
        return self.pages / 256


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One live migration, or the first placement of a guest (source None).

    :ivar wave: moves of one wave may run together, from 1
    :ivar guest: the guest's uuid
    :ivar gain_mb: memory that the move saves by the estimate
    :ivar error_mb: standard error of the gain
    :ivar copy_mb: memory that the migration copies, 0 for a first placement
    :ivar checks: names of the rules that the move passed
    :ivar needs: places in the plan, from 0, of earlier moves without which this one
        must not be made; it is safe if any others have failed
    """

    wave: int
    guest: str
    source: str | None
    destination: str
    gain_mb: float
    error_mb: float
    copy_mb: float
    reason: str
    checks: tuple[str, ...] = ()
    needs: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The move in the words of the command line's contract."""
        return {
            "wave": self.wave,
            "guest": self.guest,
            "from": self.source,
            "to": self.destination,
            "gain_mb": round(self.gain_mb, 3),
            "error_mb": round(self.error_mb, 3),
            "copy_mb": round(self.copy_mb, 3),
            "reason": self.reason,
            "checks": list(self.checks),
            "needs": list(self.needs),
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unplaced:
    """A guest without a host for which the plan found none."""

    guest: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to move and why, or why to stay.

    :ivar shift: of the samples that the estimate used
    :ivar placed_mb: unique memory of guests that the plan places first
    """

    strategy: str
    goal: Goal
    scope: str
    shift: int
    before: Mapping[str, HostUse]
    after: Mapping[str, HostUse]
    moves: tuple[Move, ...]
    unplaced: tuple[Unplaced, ...]
    hosts_freed: tuple[str, ...]
    verdict: Verdict
    why: str
    placed_mb: float = 0.0

    @property
    def before_mb(self) -> float:
        return sum(use.mb for use in self.before.values())

    @property
    def after_mb(self) -> float:
        return sum(use.mb for use in self.after.values())

    @property
    def saved_mb(self) -> float:
        """Memory that the plan frees, in MB."""
        return self.before_mb + self.placed_mb - self.after_mb

    def moves_alike(self, other: "Plan") -> bool:
        """Whether both move the same guests, from and to the same hosts, in turn."""
        return self._journeys() == other._journeys()

    def _journeys(self) -> list[tuple[int, str, str | None, str]]:
        return [
            (move.wave, move.guest, move.source, move.destination)
            for move in self.moves
        ]

    def to_json(self) -> dict[str, Any]:
        """The plan in the words of the command line's contract."""

        def uses(hosts: Mapping[str, HostUse]) -> dict[str, Any]:
            return {
                name: {
                    "pages": round(use.pages),
                    "mb": round(use.mb, 3),
                    "guests": list(use.guests),
                }
                for name, use in hosts.items()
            }

        return {
            "strategy": self.strategy,
            "goal": self.goal.value,
            "scope": self.scope,
            "shift": self.shift,
            "before": uses(self.before),
            "after": uses(self.after),
            "before_mb": round(self.before_mb, 3),
            "after_mb": round(self.after_mb, 3),
            "saved_mb": round(self.saved_mb, 3),
            "hosts_freed": list(self.hosts_freed),
            "moves": [move.to_json() for move in self.moves],
            "unplaced": [dataclasses.asdict(guest) for guest in self.unplaced],
            "verdict": self.verdict.value,
            "why": self.why,
        }
