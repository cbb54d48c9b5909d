# SPDX-License-Identifier: Apache-2.0
"""What nova-scheduler's debug log tells of one request: weights, and the choice.

Nova's words are those of nova/weights.py and nova/scheduler/manager.py (2025.2 and
later).  Reads the log, asks nobody.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cloud.lab.errors import LabError

SHARING = "SharingWeigher"

_REQUEST = re.compile(r"\[[^]]*?(req-[0-9a-f-]+)")
_SCORE = re.compile(r"(\w+): score \(multiplier \* weight\) (\{.*?\})")
_WEIGHED = re.compile(r"host: \(([^,]+), [^)]+\).*?weight: (-?[\d.]+(?:e-?\d+)?)\]")
_SELECTED = re.compile(r"Selected host: \(([^,]+),")


@dataclass(frozen=True)
class Score:
    """What one weigher gave one host."""

    multiplier: float
    weight: float

    @property
    def product(self) -> float:
        return self.multiplier * self.weight


@dataclass(frozen=True)
class Choice:
    """One request as the scheduler weighed it.

    ``scores`` are by weigher, then by host; ``sums`` and the hosts' order are
    Nova's, the best first.
    """

    host: str
    sums: dict[str, float]
    scores: dict[str, dict[str, Score]]

    @property
    def deciding(self) -> tuple[str, ...]:
        """The weighers that made a difference between the hosts, and ours."""
        return tuple(
            name
            for name, by_host in self.scores.items()
            if name == SHARING or len({score.product for score in by_host.values()}) > 1
        )

    @property
    def sharing_multipliers(self) -> set[float]:
        """The multipliers that our weigher used."""
        return {score.multiplier for score in self.scores[SHARING].values()}


def choice(log: Path, guest: str) -> Choice:
    """The newest request for a guest.

    :param guest: the instance's uuid
    :raises LabError: the log does not tell of it
    """
    with log.open(errors="replace") as lines:
        return parse(list(lines), guest)


def parse(lines: Sequence[str], guest: str) -> Choice:
    """The newest request for a guest among the lines of a log."""
    begin = f"Starting to schedule for instances: ['{guest}']"
    begun = [line for line in lines if begin in line]
    request = _REQUEST.search(begun[-1]) if begun else None
    if request is None:
        raise LabError(f"nova-scheduler's log does not tell of a request for {guest}")
    scores: dict[str, dict[str, Score]] = {}
    sums: dict[str, float] = {}
    host = None
    for line in lines:
        if request.group(1) not in line:
            continue
        if scored := _SCORE.search(line):
            scores[scored.group(1)] = _by_host(scored.group(2))
        elif "Weighed [" in line:
            sums = {name: float(weight) for name, weight in _WEIGHED.findall(line)}
        elif selected := _SELECTED.search(line):
            host = selected.group(1)
    if host is None or SHARING not in scores or set(sums) != set(scores[SHARING]):
        raise LabError(f"nova-scheduler's log is incomplete on the request for {guest}")
    return Choice(host, sums, scores)


def _by_host(text: str) -> dict[str, Score]:
    """Read ``{('host', 'node'): '1.0 * 0.5', ...}``."""
    found = {}
    for (host, _node), product in ast.literal_eval(text).items():
        multiplier, _, weight = product.partition(" * ")
        found[host] = Score(float(multiplier), float(weight))
    return found
