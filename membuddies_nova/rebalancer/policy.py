# SPDX-License-Identifier: Apache-2.0
"""What the rebalancer may do: modes, time windows and caps.

Pure: values in, a yes or a reason out. No clock, no configuration, no I/O; the
service reads those and asks here.
"""

import dataclasses
import datetime
import enum
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Self

from membuddies_nova import exceptions

FAILURES_UNTIL_FALLBACK = 2

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(
    r"(?P<days>[a-z]{3}(-[a-z]{3})?)\s+"
    r"(?P<start>\d{2}:\d{2})-(?P<end>\d{2}:\d{2})",
    re.IGNORECASE,
)
_MINUTES_A_DAY = 24 * 60


class Mode(enum.StrEnum):
    """What becomes of a plan."""

    OBSERVE = "observe"
    RECOMMEND = "recommend"
    AUTO = "auto"


class OnFailure(enum.StrEnum):
    """What a failed move means for the rest of its plan."""

    CONTINUE = "continue"
    STOP = "stop"


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """Days of the week and minutes of the day, in UTC.

    :ivar days: 0 is Monday
    :ivar start: first minute of the day
    :ivar end: minute after the last; up to ``start``: it is in the next day
    """

    days: frozenset[int]
    start: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``Mon-Fri 22:00-05:00`` or ``Sun 00:00-24:00``.

        :raises ConfigurationError: for anything else
        """
        match = _WINDOW.fullmatch(text.strip())
        try:
            if match is None:
                raise ValueError
            days = [_DAYS.index(day) for day in match["days"].lower().split("-")]
            start, end = _minute(match["start"]), _minute(match["end"])
            if start in (_MINUTES_A_DAY, end):
                raise ValueError
        except ValueError:
            raise exceptions.ConfigurationError(
                f"[rebalancer] auto_windows: {text!r} is no window; write it like "
                f"'Mon-Fri 22:00-05:00' or 'Sun 00:00-24:00' (UTC)"
            ) from None
        length = (days[-1] - days[0]) % 7 + 1
        return cls(frozenset((days[0] + i) % 7 for i in range(length)), start, end)

    def contains(self, moment: datetime.datetime) -> bool:
        """Whether ``moment`` (in UTC) lies in the window."""
        day, minute = moment.weekday(), moment.hour * 60 + moment.minute
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        return (day in self.days and minute >= self.start) or (
            (day - 1) % 7 in self.days and minute < self.end
        )


def _minute(text: str) -> int:
    hours, minutes = int(text[:2]), int(text[3:])
    minute = hours * 60 + minutes
    if minutes > 59 or minute > _MINUTES_A_DAY:
        raise ValueError
    return minute


def automatic_refusal(
    *,
    now: float,
    windows: Sequence[Window],
    latest_outcomes: Sequence[str],
    guests_in_error: Collection[str],
) -> str | None:
    """Why ``auto`` may not act by itself now, None if it may.

    :param now: seconds since the epoch
    :param latest_outcomes: ``done`` or ``failed`` of the moves that ended last,
        the newest first
    :param guests_in_error: uuids of the guests on hosts that are in ERROR
    """
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    if not windows:
        return "no time window is configured ([rebalancer] auto_windows)"
    if not any(window.contains(moment) for window in windows):
        return "it is outside of the configured time windows"
    newest = latest_outcomes[:FAILURES_UNTIL_FALLBACK]
    if len(newest) == FAILURES_UNTIL_FALLBACK and set(newest) == {"failed"}:
        return (
            f"the last {FAILURES_UNTIL_FALLBACK} moves failed; an approved plan "
            f"that succeeds ends this"
        )
    if guests_in_error:
        return f"guest {min(guests_in_error)} is in ERROR"
    return None


@dataclasses.dataclass(frozen=True, slots=True)
class Traffic:
    """A migration under way, whoever started it.

    :ivar guest: the server's uuid
    :ivar destination: None while Nova has not chosen one
    """

    guest: str
    source: str | None
    destination: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Caps:
    """The most migrations at a time and in an hour."""

    per_source: int
    per_destination: int
    in_total: int
    per_hour: int

    def refusal(
        self,
        source: str,
        destination: str,
        under_way: Iterable[Traffic],
        started_last_hour: int,
    ) -> str | None:
        """Why no move may start from ``source`` to ``destination`` now.

        A guest that is named twice (by us and by Nova) counts once.
        """
        traffic = {migration.guest: migration for migration in under_way}.values()
        if len(traffic) >= self.in_total:
            return f"{len(traffic)} migrations are under way (cap {self.in_total})"
        leaving = sum(migration.source == source for migration in traffic)
        if leaving >= self.per_source:
            return f"{leaving} leave host {source} (cap {self.per_source})"
        entering = sum(migration.destination == destination for migration in traffic)
        if entering >= self.per_destination:
            return f"{entering} enter host {destination} (cap {self.per_destination})"
        if started_last_hour >= self.per_hour:
            return (
                f"{started_last_hour} were started within the last hour "
                f"(cap {self.per_hour})"
            )
        return None
