# SPDX-License-Identifier: Apache-2.0
"""Whether the demo shows what it promises: numbers in, complaints out.

Pure: it reads nothing and prints nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_ERROR_POINTS = 4.0
MIN_SAVED_FRACTION = 0.10
MAX_PREDICTION_FRACTION = 0.20


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was predicted, and what the kernel did.

    :ivar before_mb: by host, distinct physical frames of its guests' mergeable
        pages before the first migration, KSM converged
    :ivar after_mb: the same after the last one
    :ivar predicted_saved_mb: of the plan as it was stored before it ran, without
        trust scopes, for the kernel knows none
    :ivar failed_migrations: of Nova's records
    :ivar plan_state: how the plan ended
    """

    before_mb: Mapping[str, float]
    after_mb: Mapping[str, float]
    predicted_saved_mb: float
    migrations: int
    failed_migrations: int
    plan_state: str
    placement_right: bool
    seconds: float

    @property
    def total_before_mb(self) -> float:
        return sum(self.before_mb.values())

    @property
    def total_after_mb(self) -> float:
        return sum(self.after_mb.values())

    @property
    def measured_saved_mb(self) -> float:
        return self.total_before_mb - self.total_after_mb

    @property
    def error_points(self) -> float:
        """Difference between prediction and measurement, in percent of before."""
        difference = abs(self.predicted_saved_mb - self.measured_saved_mb)
        return 100 * difference / self.total_before_mb

    @property
    def complaints(self) -> tuple[str, ...]:
        """What is not as promised, a sentence each; empty if all is well."""
        measured = self.measured_saved_mb
        off = abs(self.predicted_saved_mb - measured)
        checks = {
            "nova-scheduler did not put the new guest where it shares most, or would "
            "have done so without us": not self.placement_right,
            f"the plan ended as {self.plan_state}": self.plan_state != "done",
            f"{self.failed_migrations} live migrations failed": (
                self.failed_migrations > 0
            ),
            "no guest was migrated": self.migrations == 0,
            f"the error of {self.error_points:.1f} points is over "
            f"{MAX_ERROR_POINTS:.0f}": self.error_points > MAX_ERROR_POINTS,
            f"only {measured:.0f} of {self.total_before_mb:.0f} MB were saved, less "
            f"than {MIN_SAVED_FRACTION:.0%}": (
                measured < MIN_SAVED_FRACTION * self.total_before_mb
            ),
            f"the prediction is {off:.0f} MB off the {measured:.0f} MB that were "
            f"saved, more than {MAX_PREDICTION_FRACTION:.0%}": (
                off > MAX_PREDICTION_FRACTION * abs(measured)
            ),
        }
        return tuple(sentence for sentence, is_wrong in checks.items() if is_wrong)

    def report(self) -> dict[str, Any]:
        """The facts as ``report.json`` has them."""
        return {
            "before_mb": round(self.total_before_mb, 3),
            "after_mb": round(self.total_after_mb, 3),
            "measured_saved_mb": round(self.measured_saved_mb, 3),
            "predicted_saved_mb": round(self.predicted_saved_mb, 3),
            "error_points": round(self.error_points, 3),
            "migrations": self.migrations,
            "placement_right": self.placement_right,
            "seconds": round(self.seconds, 1),
            "hosts": {
                host: {
                    "before_mb": round(mb, 3),
                    "after_mb": round(self.after_mb[host], 3),
                }
                for host, mb in self.before_mb.items()
            },
            "complaints": list(self.complaints),
        }
