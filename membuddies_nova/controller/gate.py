# SPDX-License-Identifier: Apache-2.0
"""Lets so many through at a time, and tells how many wait."""

import threading
from types import TracebackType


class Gate:
    """A context manager that at most ``places`` threads are in."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._free = threading.Semaphore(places)
        self._lock = threading.Lock()
        self._waiting = 0

    @property
    def crowded(self) -> bool:
        """Whether twice as many wait as there are places."""
        return self._waiting >= 2 * self._places

    def __enter__(self) -> None:
        with self._lock:
            self._waiting += 1
        try:
            self._free.acquire()
        finally:
            with self._lock:
                self._waiting -= 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._free.release()
