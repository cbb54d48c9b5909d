# SPDX-License-Identifier: Apache-2.0
"""How much of the machine's memory the demo took at most.

By MemAvailable, so it counts what anybody else on the machine takes meanwhile, too.
"""

import threading
from pathlib import Path
from types import TracebackType

_MEMINFO = Path("/proc/meminfo")
_LOOK_SECONDS = 1.0


class Watch:
    """Watches from ``with`` to its end."""

    def __init__(self) -> None:
        self._first_mb = self._least_mb = _available_mb()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    @property
    def peak_mb(self) -> float:
        """The most that was taken since the beginning."""
        return self._first_mb - self._least_mb

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            self._least_mb = min(self._least_mb, _available_mb())


def _available_mb() -> float:
    for line in _MEMINFO.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"{_MEMINFO} does not tell MemAvailable")
