# SPDX-License-Identifier: Apache-2.0
"""Log lines that a busy scheduler may repeat thousands of times, but must not.

One line a minute about one topic, in each process. Needs no lock: a lock that
another thread holds when nova-scheduler forks would stay locked in the worker.
"""

import time
from typing import Any

from oslo_log import log as logging


class RareLog:
    """Warnings of one module, at most one a minute for each topic."""

    def __init__(self, name: str) -> None:
        self._log = logging.getLogger(name)
        self._claims: dict[tuple[str, int], object] = {}

    def warning(self, topic: str, message: str, *values: Any) -> None:
        """Log unless this minute has had its line about the topic."""
        minute = int(time.monotonic() // 60)
        mine = object()
        # setdefault is atomic: of many threads one claims the minute.
        if self._claims.setdefault((topic, minute), mine) is not mine:
            return
        for claim in list(self._claims):
            if claim[1] != minute:
                self._claims.pop(claim, None)
        self._log.warning(message, *values)
