# SPDX-License-Identifier: Apache-2.0
"""The host's memory as the kernel shows it, for each report.

Reads /proc and /sys, whose roots are arguments so that tests read recorded
trees. A file that is missing or cannot be read is a missing fact, never an
error. Nothing here changes a setting.
"""

import contextlib
import pathlib
import platform
import re
import time
from collections.abc import Callable

from membuddies_agent import procfs
from membuddies_nova.cluster import KsmState
from membuddies_nova.facts import HostFacts, KsmFacts

SYS = pathlib.Path("/sys")

_KSM_FILES = (
    "run",
    "pages_shared",
    "pages_sharing",
    "pages_unshared",
    "pages_volatile",
    "full_scans",
    "merge_across_nodes",
    "max_page_sharing",
    "use_zero_pages",
    "smart_scan",
    "pages_to_scan",
    "sleep_millisecs",
)
_KSM_DAEMONS = {"ksmtuned", "momd"}
"""Names of the processes that switch KSM on when memory runs short."""

_RUN_MERGING = 1
_RUN_UNMERGING = 2


class HostFactsReader:
    """Reads the facts; remembers counters, to tell rates and ages.

    :param proc: where /proc is mounted
    :param sys: where /sys is mounted
    :param clock: monotonic seconds
    """

    def __init__(
        self,
        proc: pathlib.Path = procfs.PROC,
        sys: pathlib.Path = SYS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proc = proc
        self._sys = sys
        self._clock = clock
        self._swap_in: tuple[float, int] | None = None
        self._full_scan: tuple[float | None, int] | None = None

    def read(self) -> HostFacts:
        """The facts as they are now."""
        memory = _numbers(_text(self._proc / "meminfo"))
        pressure = _text(self._proc / "pressure" / "memory")
        return HostFacts(
            mem_total_bytes=memory.get("MemTotal", 0) * 1024,
            mem_available_bytes=memory.get("MemAvailable", 0) * 1024,
            swap_total_bytes=memory.get("SwapTotal", 0) * 1024,
            swap_free_bytes=memory.get("SwapFree", 0) * 1024,
            swap_in_pages_per_second=self._swap_in_rate(),
            memory_pressure=_pressure(pressure, "some"),
            memory_pressure_full=_pressure(pressure, "full"),
            huge_pages_total=memory.get("HugePages_Total"),
            huge_pages_free=memory.get("HugePages_Free"),
            huge_page_bytes=_kib(memory.get("Hugepagesize")),
            thp=self._thp(),
            kernel=platform.release(),
            ksm=self._ksm(),
        )

    def _swap_in_rate(self) -> float | None:
        pages = _numbers(_text(self._proc / "vmstat")).get("pswpin")
        if pages is None:
            return None
        now = self._clock()
        before, self._swap_in = self._swap_in, (now, pages)
        if before is None or now <= before[0] or pages < before[1]:
            return None
        return (pages - before[1]) / (now - before[0])

    def _thp(self) -> str | None:
        text = _text(self._sys / "kernel/mm/transparent_hugepage/enabled")
        chosen = re.search(r"\[(\w+)\]", text)
        return chosen.group(1) if chosen else None

    def _ksm(self) -> KsmFacts:
        values = {
            name: _integer(_text(self._sys / "kernel/mm/ksm" / name))
            for name in _KSM_FILES
        }
        return KsmFacts(
            state=ksm_state(values["run"], values["pages_shared"], self._managed()),
            full_scan_age_seconds=self._full_scan_age(values["full_scans"]),
            **values,
        )

    def _managed(self) -> bool:
        return not _KSM_DAEMONS.isdisjoint(procfs.command_names(self._proc))

    def _full_scan_age(self, full_scans: int | None) -> float | None:
        """Seconds since the counter was seen to rise, None until then."""
        if full_scans is None:
            return None
        now = self._clock()
        if self._full_scan is None:
            # When it last rose before the agent started is not known.
            self._full_scan = (None, full_scans)
        elif full_scans != self._full_scan[1]:
            self._full_scan = (now, full_scans)
        risen_at = self._full_scan[0]
        return None if risen_at is None else now - risen_at


def ksm_state(run: int | None, pages_shared: int | None, managed: bool) -> KsmState:
    """What KSM's settings mean for a guest that arrives.

    :param run: as in /sys/kernel/mm/ksm/run, None if unreadable
    :param managed: whether ksmtuned or MOM is running
    """
    if run is None:
        return KsmState.UNKNOWN
    if run == _RUN_MERGING:
        return KsmState.MERGING
    if managed:
        return KsmState.MANAGED
    if run == _RUN_UNMERGING or pages_shared == 0:
        return KsmState.OFF
    return KsmState.UNKNOWN


def _text(path: pathlib.Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text("ascii", "replace")
    return ""


def _integer(text: str) -> int | None:
    with contextlib.suppress(ValueError):
        return int(text)
    return None


def _numbers(text: str) -> dict[str, int]:
    """The first number of each line, by the word before it."""
    found = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) > 1 and fields[1].isdecimal():
            found[fields[0].rstrip(":")] = int(fields[1])
    return found


def _kib(number: int | None) -> int | None:
    return None if number is None else number * 1024


def _pressure(text: str, kind: str) -> float | None:
    """A PSI line's avg60 as a fraction (Documentation/accounting/psi.rst)."""
    average = re.search(rf"^{kind} .*avg60=([0-9.]+)", text, re.MULTILINE)
    return float(average.group(1)) / 100 if average else None
