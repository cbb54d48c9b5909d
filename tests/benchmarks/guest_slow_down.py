# SPDX-License-Identifier: Apache-2.0
"""How much slower a guest runs while it is scanned at the agent's default budget.

A real guest (QEMU's emulator, Debian's cloud kernel) works through its memory and
its processor without a pause and tells each unit of work that it has done. QEMU
is pinned to one core, the agent's scanner and this script to another. Slices of
scanning and of rest alternate, in pairs whose order alternates, too; in a slice of
scanning one scan follows the other, which no agent ever does. The slow-down is the
mean over pairs of 1 - rate(scanned) / rate(at rest), with Student's 95 % interval.

Needs two cores that nobody else uses.
Run: python -m tests.benchmarks.guest_slow_down [--pairs N] [--seconds N]
"""

import argparse
import bisect
import contextlib
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event

from scipy import stats

from membuddies_agent import procfs
from membuddies_agent.budget import Budget
from membuddies_agent.scan import READER, scan
from membuddies_nova.conf import agent as options
from tests.benchmarks.figure import Figure
from tests.cloud.lab import images, initramfs

ASKED_PERCENT = 1.0
ASKED_PAIRS = 40
ASKED_SECONDS = 5.0
GUEST_MB = 512
WORK_MB = 320
SETTLE_SECONDS = 0.25
GUEST_CORE, AGENT_CORE = 0, 1
NICENESS = 10

WORK = pathlib.Path(__file__).with_name("guest_work.c")


class Guest:
    """A guest at work.

    :ivar process: its QEMU
    """

    def __init__(self, popen: subprocess.Popen) -> None:
        self._popen = popen
        self.process = procfs.process(popen.pid)
        self._times: list[float] = []
        self._units: list[int] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        for line in self._popen.stdout:
            if line.startswith(b"unit "):
                self._units.append(int(line.split()[1]))
                self._times.append(time.monotonic())

    def wait_until_it_works(self) -> None:
        while len(self._times) < 10:
            if not self._reading.is_alive():
                raise SystemExit("the guest ended before it worked")
            time.sleep(0.1)

    def rate(self, begin: float, end: float) -> float:
        """Units of work a second between two moments."""
        first = bisect.bisect_left(self._times, begin)
        last = bisect.bisect_right(self._times, end) - 1
        if last - first < 20:
            raise SystemExit("the guest did too little in a slice to be measured")
        units = self._units[last] - self._units[first]
        return units / (self._times[last] - self._times[first])


@contextlib.contextmanager
def working() -> Iterator[Guest]:
    """A guest that works, on its core."""
    with tempfile.TemporaryDirectory(prefix="membuddies-benchmark-") as folder:
        program = pathlib.Path(folder) / "init"
        subprocess.run(
            [
                *("gcc", "-O2", "-static", f"-DMEMORY_MB={WORK_MB}UL"),
                *("-o", str(program), str(WORK)),
            ],
            check=True,
        )
        ramdisk = pathlib.Path(folder) / "ramdisk"
        with ramdisk.open("wb") as output:
            archive = initramfs.Archive(output)
            archive.add_console()
            archive.add_file("/init", program.read_bytes(), 0o755)
            archive.end()
        popen = subprocess.Popen(
            [
                *("taskset", "--cpu-list", str(GUEST_CORE), "qemu-system-x86_64"),
                *("-machine", "pc,accel=tcg", "-m", str(GUEST_MB), "-display", "none"),
                *("-nodefaults", "-serial", "stdio", "-kernel", str(images.kernel())),
                *("-initrd", str(ramdisk), "-append"),
                "console=ttyS0 quiet panic=1 no_timer_check",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        try:
            yield Guest(popen)
        finally:
            popen.kill()
            popen.wait()


def default(name: str) -> float:
    (option,) = (one for one in options.OPTIONS if one.name == name)
    return float(option.default)


def scan_on_demand(process: procfs.Process, wanted: Event, scanned) -> None:
    """Scan a guest again and again, at the default budget, while it is wanted.

    :param scanned: counts the bytes
    """
    os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    budget = Budget(
        default("scan_core_share"), default("scan_mb_per_second") * 2**20, time.sleep
    )

    def throttle(read_bytes: int) -> None:
        scanned.value += read_bytes
        budget.pay(read_bytes)
        wanted.wait()

    while wanted.wait():
        budget.begin()
        scan(process, throttle=throttle).sample()
        budget.pay(0)


def slices(
    guest: Guest, wanted: Event, pairs: int, seconds: float
) -> tuple[list[float], float]:
    """Each pair's slow-down in percent, and the seconds of scanning."""

    def rate(scanning: bool) -> float:
        if scanning:
            wanted.set()
        else:
            wanted.clear()
        time.sleep(SETTLE_SECONDS)
        begin = time.monotonic()
        time.sleep(seconds)
        return guest.rate(begin, time.monotonic())

    found = []
    for pair in range(pairs):
        first = rate(pair % 2 == 0)
        second = rate(pair % 2 == 1)
        on, off = (first, second) if pair % 2 == 0 else (second, first)
        found.append(100 * (1 - on / off))
    wanted.clear()
    return found, pairs * (seconds + SETTLE_SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=ASKED_PAIRS)
    parser.add_argument("--seconds", type=float, default=ASKED_SECONDS)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {AGENT_CORE})
    context = multiprocessing.get_context("fork")
    wanted, scanned = context.Event(), context.Value("q", 0, lock=False)
    with working() as guest:
        guest.wait_until_it_works()
        agent = context.Process(
            target=scan_on_demand, args=(guest.process, wanted, scanned), daemon=True
        )
        agent.start()
        found, scan_seconds = slices(guest, wanted, arguments.pairs, arguments.seconds)
        assert agent.is_alive(), "the scans have ended"
        agent.kill()
        agent.join()
    mean = statistics.mean(found)
    error = statistics.stdev(found) / len(found) ** 0.5
    half_width = float(stats.t.ppf(0.975, len(found) - 1)) * error
    facts = {
        "interval": f"{mean:.2f} % +- {half_width:.2f} %",
        "pairs": len(found),
        "seconds_a_slice": arguments.seconds,
        "median_percent": round(statistics.median(found), 2),
        "scanned_mb_a_second": round(scanned.value / 2**20 / scan_seconds, 1),
        "budget": f"{default('scan_core_share'):g} of a core, "
        f"{default('scan_mb_per_second'):g} MB a second",
        "reader": READER.__name__,
        "ksm_run": pathlib.Path("/sys/kernel/mm/ksm/run").read_text().strip(),
        "load_average": round(os.getloadavg()[0], 1),
    }
    figures = (
        Figure(
            name="guest_slow_down",
            what="slow-down of a guest while it is scanned at the default budget",
            how="at most",
            asked=ASKED_PERCENT,
            measured=mean,
            unit="%",
            facts=facts,
        ),
        Figure(
            name="guest_slow_down_interval",
            what="half width of that slow-down's 95 % interval",
            how="at most",
            asked=ASKED_PERCENT,
            measured=half_width,
            unit="%",
            facts=facts,
        ),
    )
    status = max(figure.publish() for figure in figures)
    if len(found) < ASKED_PAIRS or arguments.seconds < ASKED_SECONDS:
        print(f"not measured: {ASKED_PAIRS} pairs of {ASKED_SECONDS:g} s are asked for")
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
