# SPDX-License-Identifier: Apache-2.0
"""Log lines that a busy scheduler may repeat thousands of times, but must not.

One line a minute about one topic, in each process; about a state that lasts, one
when it begins. Needs no lock: a lock that
another thread holds when nova-scheduler forks would stay locked in the worker.
"""

import time
from typing import Any

from oslo_log import log as logging


class RareLog:
    """Lines of one module, at most one a minute for each topic."""

    def __init__(self, name: str) -> None:
        self._log = logging.getLogger(name)
        self._claims: dict[tuple[str, int], object] = {}
        self._lasting: dict[str, object] = {}

    def warning(self, topic: str, message: str, *values: Any) -> None:
        """Log unless this minute has had its line about the topic."""
        if self._claim(topic):
            self._log.warning(message, *values)

    def info(self, topic: str, message: str, *values: Any) -> None:
        """As ``warning``, of what is no trouble."""
        if self._claim(topic):
            self._log.info(message, *values)

    def begins(self, topic: str, message: str, *values: Any) -> None:
        """Warn of a state when it is first seen, and again only after it ended."""
        mine = object()
        if self._lasting.setdefault(topic, mine) is mine:
            self.warning(topic, message, *values)

    def ended(self, topic: str) -> None:
        """The state that ``begins`` told of is over."""
        self._lasting.pop(topic, None)

    def _claim(self, topic: str) -> bool:
        """Whether the caller may have this minute's line."""
        minute = int(time.monotonic() // 60)
        mine = object()
        # setdefault is atomic: of many threads one claims the minute.
        if self._claims.setdefault((topic, minute), mine) is not mine:
            return False
        for claim in list(self._claims):
            if claim[1] != minute:
                self._claims.pop(claim, None)
        return True
