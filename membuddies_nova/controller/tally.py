# SPDX-License-Identifier: Apache-2.0
"""Counts of what a controller has met, and a log that cannot be flooded.

The counts go into the heartbeat, for "membuddies status". Agents may send
nonsense as fast as they like: of each kind one line a minute is logged.
"""

import collections
import threading
import time
from collections.abc import Mapping

from oslo_log import log as logging

LOG = logging.getLogger(__name__)

_QUIET_SECONDS = 60.0


class Tally:
    """Counts by kind since the start, for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: collections.Counter[str] = collections.Counter()
        self._logged: dict[str, tuple[float, int]] = {}

    def count(self, kind: str, number: int = 1) -> None:
        """Count something that is as it should be."""
        with self._lock:
            self._counts[kind] += number

    def warn(self, kind: str, message: str, number: int = 1) -> None:
        """Count something that is not, and log it unless one was just logged.

        :param kind: of a fixed set: it is never forgotten
        """
        now = time.monotonic()
        with self._lock:
            self._counts[kind] += number
            count = self._counts[kind]
            logged_at, logged_count = self._logged.get(kind, (float("-inf"), 0))
            if now - logged_at < _QUIET_SECONDS:
                return
            self._logged[kind] = (now, count)
        unseen = count - logged_count - number
        LOG.warning("%s%s", message, f" (and {unseen} more before)" if unseen else "")

    def counts(self) -> Mapping[str, int]:
        """All counts by kind."""
        with self._lock:
            return dict(self._counts)
