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

from .lab.errors import LabError
from .lab.guests import Guest

_LINE = re.compile(
    r"(?P<time>\S+ \S+) (?P<worker>\d+) [A-Z]+ \S+ "
    r"\[(?:\S+ )?(?P<request>req-[0-9a-f-]{36})?[^\]]*\] (?P<message>.*)"
)
_BOARD = re.compile(r"scoreboard (\w+): \d+ bytes")
_WEIGHTS = re.compile(r"SharingWeigher: raw weights (\{.*?\})")


@dataclass(frozen=True)
class Decision:
    """How one guest was placed.

    :ivar worker: the pid of the process that decided, as its machine numbers it
    :ivar weights: our weigher's raw ones by host; none if a single host was left
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

    def boards(self, since: int) -> dict[int, str]:
        """The version of the board that each worker took last; by pid.

        :param since: boards count that came when the log had this size
        """
        return {
            int(line["worker"]): board[1]
            for line in self._lines(since)
            if (board := _BOARD.match(line["message"]))
        }

    def decision(self, guest: Guest) -> Decision:
        """The last decision on a guest, which Nova must have placed already.

        :raises LabError: there is none
        """
        lines = list(self._lines(self.begin))
        begins = [
            number
            for number, line in enumerate(lines)
            if line["message"].startswith("Starting to schedule for instances: [")
            and f"'{guest.id}'" in line["message"]
        ]
        if not begins:
            raise LabError(f"nova-scheduler was not asked about guest {guest.name}")
        first = lines[begins[-1]]
        weights: dict[str, float] = {}
        for line in lines[begins[-1] :]:
            message = line["message"]
            if line["request"] != first["request"]:
                continue
            if found := _WEIGHTS.match(message):
                hosts = ast.literal_eval(found[1]).items()
                weights = {host: weight for (host, _node), weight in hosts}
            if "Selected host" not in message:
                continue
            if message.startswith(f"[instance: {guest.id}]"):
                took = _moment(line["time"]) - _moment(first["time"])
                return Decision(int(first["worker"]), weights, took.total_seconds())
            # That was another guest of the request.
            weights = {}
        raise LabError(f"nova-scheduler did not place guest {guest.name}")

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
