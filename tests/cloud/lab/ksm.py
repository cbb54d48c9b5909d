# SPDX-License-Identifier: Apache-2.0
"""The kernel's same-page merging, switched on for a lab and put back afterwards.

There is one KSM on a machine, so whoever changes its settings holds a lock file.  A
service of the lab holds it: the lock, and the duty to restore, outlive the process
that began and end with the cloud.  Never writes 2 to ``run``: that would unmerge the
pages of everybody.

Source: the kernel's Documentation/admin-guide/mm/ksm.rst.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import frames
from .errors import LabError
from .layout import HOSTS, Layout
from .services import Service, Services

LOCK = Path("/tmp/membuddies-ksm.lock")
_HOLDER = "ksm-lock"

# In the order in which they are written: the scanner starts last.
_SETTINGS = (
    "advisor_mode",
    "smart_scan",
    "use_zero_pages",
    "pages_to_scan",
    "sleep_millisecs",
    "run",
)


@dataclass(frozen=True)
class Ksm:
    """KSM as one lab uses it; ``root`` is where the kernel shows it."""

    layout: Layout
    root: Path = Path("/sys/kernel/mm/ksm")

    def begin(
        self,
        pages_to_scan: int = 20000,
        sleep_millisecs: int = 20,
        timeout_seconds: float = 900,
    ) -> None:
        """Waits for the lock, saves the settings, and starts merging.

        The default rate costs up to a core; 200 ms of sleep costs a tenth of that.
        Called again, it only changes the rate.

        Pages are looked at in every scan (no smart_scan).  Zero pages merge with the
        kernel's own (use_zero_pages): on Linux 6.12 and later, splitting a huge page
        of zeros leaves a stale entry in KSM's unstable tree at which every further
        zero page of that scan gives up, so that else one huge page a scan merges.
        """
        if not self._saved.exists():
            self._take_lock(timeout_seconds)
            found = {name: self._read(name) for name in self._existing()}
            self._saved.write_text(json.dumps(found))
        wanted = {
            "advisor_mode": "none",
            "smart_scan": "0",
            "use_zero_pages": "1",
            "pages_to_scan": str(pages_to_scan),
            "sleep_millisecs": str(sleep_millisecs),
            "run": "1",
        }
        self._write(wanted)

    def end(self) -> None:
        """Restores the settings that were found and gives the lock back."""
        self.restore()
        services = Services(self.layout)
        if _HOLDER in services.names():
            services.stop(_HOLDER)

    def restore(self) -> None:
        """Restores the settings that were found, if they were changed."""
        if self._saved.exists():
            self._write(json.loads(self._saved.read_text()))
            self._saved.unlink()

    @contextlib.contextmanager
    def merging(
        self, pages_to_scan: int = 20000, sleep_millisecs: int = 20
    ) -> Iterator["Ksm"]:
        """:meth:`begin` and, whatever happens, :meth:`end`."""
        try:
            self.begin(pages_to_scan, sleep_millisecs)
            yield self
        finally:
            self.end()

    def counter(self, name: str) -> int:
        """One of the kernel's counters (``pages_sharing``, ``full_scans`` ...)."""
        return int(self._read(name))

    def wait_until_converged(self, timeout_seconds: float = 300) -> float:
        """Waits until three full scans change what this lab's guests occupy by less
        than 0.1 %.

        That is the distinct frames behind their pages, so what else merges on this
        machine does not count, nor do scans that began before the call.

        :returns: the seconds it took.
        :raises LabError: pages still merged at the end of the time.
        """
        begun = time.monotonic()
        deadline = begun + timeout_seconds
        # The first scan only takes checksums; the second merges what held still.
        self._wait_for_scans(3, deadline)
        before = self._frames()
        while True:
            self._wait_for_scans(3, deadline)
            after = self._frames()
            if abs(after - before) <= 0.001 * before:
                return time.monotonic() - begun
            before = after

    def _frames(self) -> int:
        counts = frames.count_hosts(self.layout, HOSTS).values()
        return sum(count.frames for count in counts)

    def _wait_for_scans(self, scans: int, deadline: float) -> None:
        wanted = self.counter("full_scans") + scans
        while self.counter("full_scans") < wanted:
            if time.monotonic() > deadline:
                raise LabError("KSM did not converge in time")
            time.sleep(0.1)

    @property
    def _saved(self) -> Path:
        return self.layout.root / "ksm-settings.json"

    def _take_lock(self, timeout_seconds: float) -> None:
        locked = self.layout.root / "ksm-locked"
        locked.unlink(missing_ok=True)
        script = f"touch {locked} && exec sleep infinity"
        argv = ("flock", "--no-fork", str(LOCK), "sh", "-c", script)
        services = Services(self.layout)
        services.start(Service(_HOLDER, "ctl", argv))
        deadline = time.monotonic() + timeout_seconds
        while not locked.exists():
            if time.monotonic() > deadline:
                services.stop(_HOLDER)
                raise LabError(
                    f"another lab or test uses KSM and holds {LOCK} (is a demo up? "
                    f"`make demo-down` ends it)"
                )
            time.sleep(0.1)

    def _existing(self) -> list[str]:
        return [name for name in _SETTINGS if (self.root / name).exists()]

    def _read(self, name: str) -> str:
        text = (self.root / name).read_text().strip()
        if "[" in text:  # A choice, as in "[none] scan-time".
            return text.partition("[")[2].partition("]")[0]
        return text

    def _write(self, settings: dict[str, str]) -> None:
        for name in self._existing():
            if name in settings and settings[name] != self._read(name):
                (self.root / name).write_text(settings[name])
