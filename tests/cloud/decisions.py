# SPDX-License-Identifier: Apache-2.0
"""What nova-scheduler's debug log tells of its decisions.

Each line names the worker's pid and the request.  Nova logs the raw weights of each
weigher (nova/weights.py), and our thread in each worker every board that it takes.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from .lab.guests import Guest

_LINE = re.compile(
    r"(?P<time>\S+ \S+) (?P<worker>\d+) [A-Z]+ \S+ "
    r"\[(?:\S+ )?(?P<request>req-[0-9a-f-]{36})?[^\]]*\] (?P<message>.*)"
)
_BOARD = re.compile(r"scoreboard \w+: .* (\d+) rows")
_WEIGHTS = re.compile(r"SharingWeigher: raw weights (\{.*?\})")


@dataclass(frozen=True)
class Decision:
    """How one guest was placed.

    :ivar worker: the pid of the process that decided, as its machine numbers it
    :ivar weights: our weigher's raw ones by host
    :ivar seconds: from the request's arrival to the choice of a host
    """

    worker: int
    weights: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class SchedulerLog:
    """The log of a nova-scheduler that logs at debug level.

    :ivar begin: its size in bytes when that nova-scheduler began
    """

    path: Path
    begin: int

    @property
    def size(self) -> int:
        """Where it ends now, in bytes."""
        return self.path.stat().st_size

    @property
    def text(self) -> str:
        """All of it."""
        return self.text_since(self.begin)

    def boards(self, since: int) -> dict[int, int]:
        """How many profiles were on the board that each worker took last; by pid.

        :param since: boards count that came when the log had this size
        """
        return {
            int(line["worker"]): int(board[1])
            for line in self._lines(since)
            if (board := _BOARD.match(line["message"]))
        }

    def decision(self, guest: Guest) -> Decision:
        """The decision on a guest, which Nova must have placed already."""
        lines = list(self._lines(self.begin))
        begins = f"Starting to schedule for instances: ['{guest.id}']"
        first = next(line for line in lines if line["message"].startswith(begins))
        lines = [line for line in lines if line["request"] == first["request"]]
        weights = next(
            found for line in lines if (found := _WEIGHTS.match(line["message"]))
        )
        last = next(line for line in lines if "Selected host" in line["message"])
        took = _moment(last["time"]) - _moment(first["time"])
        return Decision(
            worker=int(first["worker"]),
            weights={
                host: weight
                for (host, _node), weight in ast.literal_eval(weights[1]).items()
            },
            seconds=took.total_seconds(),
        )

    def _lines(self, since: int) -> Iterator[re.Match[str]]:
        for text in self.text_since(since).splitlines():
            if line := _LINE.match(text):
                yield line

    def text_since(self, since: int) -> str:
        """What was written when it had this size, and later."""
        with self.path.open("rb") as file:
            file.seek(since)
            return file.read().decode()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
