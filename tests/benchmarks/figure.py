# SPDX-License-Identifier: Apache-2.0
"""What every benchmark prints and leaves: one figure, asked and measured."""

import dataclasses
import json
import operator
import pathlib
from typing import Any

DIRECTORY = pathlib.Path("build/benchmarks")

_REACHED = {"at most": operator.le, "at least": operator.ge, "exactly": operator.eq}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured number with what is asked of it.

    :ivar name: of the benchmark, and of its file in ``build/benchmarks``
    :ivar how: ``at most``, ``at least`` or ``exactly``
    :ivar facts: how it was measured, and what else was seen
    """

    name: str
    what: str
    how: str
    asked: float
    measured: float
    unit: str
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def reached(self) -> bool:
        return bool(_REACHED[self.how](self.measured, self.asked))

    def publish(self) -> int:
        """Print the figure and write it to its file.

        :returns: the script's exit status: 0 if it is reached, else 1
        """
        print(f"{self.what}: {self.measured:.6g} {self.unit}")
        print(f"asked: {self.how} {self.asked:.6g} {self.unit}")
        for name, fact in self.facts.items():
            print(f"  {name}: {fact}")
        print("reached" if self.reached else "MISSED")
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        answer = {**dataclasses.asdict(self), "reached": self.reached}
        path = DIRECTORY / f"{self.name}.json"
        path.write_text(json.dumps(answer, indent=2) + "\n")
        return 0 if self.reached else 1
