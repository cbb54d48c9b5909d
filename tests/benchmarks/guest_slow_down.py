# SPDX-License-Identifier: Apache-2.0
"""How much slower a guest runs while it is scanned at the agent's default budget.

A real guest (QEMU's emulator, Debian's cloud kernel) works through its memory and
its processor without a pause, and counts what it has done in memory that it shares
with this script. QEMU is pinned to one core, the agent's own scan and budget to
another; both run before all else there (SCHED_FIFO), so that the machine's other
load hardly shows. In a slice of scanning one scan follows the other, which no
agent does.

A guest's speed varies by a tenth from one slice of seconds to the next on a shared
machine, whatever is scanned: comparing slices would take hours. But a scan works in
bursts of some milliseconds, paid for by pauses ten times as long. So each slice is
compared with itself: what the guest does in a burst, and in the moment after it in
which its caches fill again, against what it does in the rest of the pauses before
and after. The work lost, as part of all work, is the slice's slow-down. What drifts
more slowly than a pause cancels. An effect of scans that outlasted the pauses would
cancel, too: the plain comparison of slices, printed beside, bounds that one.

A slice of rest has the same bursts and pauses, but nothing is done in a burst: its
"slow-down" is nought but for the noise and for what measuring does. A pair's
slow-down is that of its slice of scanning less that of its slice of rest; the two
change places from pair to pair. The figure is the mean over pairs, with
Student's 95 % interval: pairs are independent, bursts need not be.

Every second pair is followed by two slices that test this instrument: one more of
rest, whose mean must not differ from nought, and one in whose bursts the guest is
stopped for a known 2 % of the time, which must be found. If either misses by more
than three standard errors (the second by a twentieth of the dose as well), nothing
is measured.

Between pairs the guest stands still for some seconds, so that whoever else waits for
its core gets on. Needs root and two cores; takes fourteen minutes.
Run: python -m tests.benchmarks.guest_slow_down [--pairs N]
"""

import argparse
import contextlib
import dataclasses
import itertools
import os
import pathlib
import signal
import statistics
import sys
import threading
import time
from collections.abc import Sequence

import numpy as np
from scipy import stats

from membuddies_agent.budget import Budget
from membuddies_agent.errors import ScanInterrupted
from membuddies_agent.scan import READER, scan
from membuddies_nova.conf import agent as options
from tests.benchmarks.figure import Figure
from tests.benchmarks.working_guest import WorkingGuest, working

ASKED_PERCENT = 1.0
ASKED_PAIRS = 40
SLICE_SECONDS = 5.0
AFTER_SECONDS = 0.01
"""After a burst, while the guest's caches fill again."""

FEWEST_BURSTS = 20
STOPPED_PERCENT = 2.0
TEST_EVERY_PAIRS = 2
FEWEST_PAIRS = 2 * TEST_EVERY_PAIRS
BREAK_SECONDS = 3.0
SETTLE_SECONDS = 0.3
GUEST_CORE, AGENT_CORE = 0, 1


@dataclasses.dataclass(frozen=True)
class Slice:
    """One slice, cut into bursts and pauses.

    :ivar marks: shape (bursts, 3, 2): when a burst began, when it ended, and when
        its after-effect had passed; of each the time and the work. The last one only
        ends the pause before it.
    :ivar stopped_seconds: in which the guest was stopped
    """

    marks: np.ndarray
    stopped_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Units of work a second."""
        seconds, units = self.marks[-1, 0] - self.marks[0, 0]
        return float(units / seconds)

    @property
    def stopped_percent(self) -> float:
        return float(
            100 * self.stopped_seconds / (self.marks[-1, 0, 0] - self.marks[0, 0, 0])
        )

    @property
    def burst_percent(self) -> float:
        """The part of the time that bursts take."""
        bursts = self.marks[:-1, 1, 0] - self.marks[:-1, 0, 0]
        return float(100 * bursts.sum() / (self.marks[-1, 0, 0] - self.marks[0, 0, 0]))

    def schedule(self) -> list[tuple[float, float]]:
        """The seconds of each burst and of the pause after it."""
        begin, end = self.marks[:, 0, 0], self.marks[:, 1, 0]
        return list(zip(end[:-1] - begin[:-1], begin[1:] - end[:-1], strict=True))

    @property
    def slow_down_percent(self) -> float:
        """The work that was lost in and after bursts, as part of all work."""
        span = self.marks[1:-1, 2] - self.marks[1:-1, 0]
        rest = self.marks[1:, 0] - self.marks[:-1, 2]
        around = rest[1:] + rest[:-1]
        lost = around[:, 1] / around[:, 0] * span[:, 0] - span[:, 1]
        done = self.marks[-1, 0, 1] - self.marks[1, 0, 1]
        return float(100 * lost.sum() / (done + lost.sum()))


class Recorder:
    """Cuts one slice, told of each pause."""

    def __init__(self, guest: WorkingGuest) -> None:
        self._guest = guest
        self._rows: list[list[tuple[float, float]]] = []
        self._begin = guest.mark()
        self._end = self._begin[0] + SLICE_SECONDS
        self.over = threading.Event()

    def pause(self, seconds: float) -> None:
        """Wait; what is shorter than an after-effect and a rest is no pause."""
        if seconds < 2 * AFTER_SECONDS:
            time.sleep(seconds)
            return
        burst_end = self._guest.mark()
        time.sleep(AFTER_SECONDS)
        after = self._guest.mark()
        self._rows.append([self._begin, burst_end, after])
        time.sleep(max(0.0, seconds - (time.monotonic() - burst_end[0])))
        self._begin = self._guest.mark()
        if self._begin[0] > self._end:
            self.over.set()

    def marks(self) -> np.ndarray:
        if len(self._rows) < FEWEST_BURSTS:
            raise SystemExit(
                f"not measured: only {len(self._rows)} bursts in a slice; this machine "
                f"is too busy, with a load of {os.getloadavg()[0]:.0f}"
            )
        return np.array([*self._rows, [self._begin] * 3])


def default(name: str) -> float:
    (option,) = (one for one in options.OPTIONS if one.name == name)
    return float(option.default)


def scanned(guest: WorkingGuest) -> tuple[Slice, int]:
    """A slice of scanning at the default budget, and how many bytes were read."""
    recorder = Recorder(guest)
    budget = Budget(
        default("scan_core_share"),
        default("scan_mb_per_second") * 2**20,
        recorder.pause,
    )
    all_bytes = 0

    def throttle(read_bytes: int) -> None:
        nonlocal all_bytes
        all_bytes += read_bytes
        budget.pay(read_bytes)

    budget.begin()
    with contextlib.suppress(ScanInterrupted):
        while not recorder.over.is_set():
            scan(guest.process, throttle=throttle, stop=recorder.over).sample()
            budget.pay(0)
    return Slice(recorder.marks()), all_bytes


def rested(
    guest: WorkingGuest,
    schedule: Sequence[tuple[float, float]],
    stopped_percent: float = 0.0,
) -> Slice:
    """A slice of the same bursts and pauses in which nothing is scanned.

    :param stopped_percent: of the time the guest is stopped, in bursts
    """
    recorder = Recorder(guest)
    stopped_seconds = 0.0
    for burst, pause in itertools.cycle(schedule):
        if recorder.over.is_set():
            break
        begin = time.monotonic()
        if stopped_percent:
            guest.signal(signal.SIGSTOP)
            time.sleep(stopped_percent / 100 * (burst + pause))
            guest.signal(signal.SIGCONT)
            stopped_seconds += time.monotonic() - begin
        time.sleep(max(0.0, begin + burst - time.monotonic()))
        recorder.pause(pause)
    return Slice(recorder.marks(), stopped_seconds)


@dataclasses.dataclass(frozen=True)
class Mean:
    """A mean with Student's 95 % interval."""

    value: float
    error: float
    half_width: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Mean":
        error = statistics.stdev(values) / len(values) ** 0.5
        half_width = float(stats.t.ppf(0.975, len(values) - 1)) * error
        return cls(statistics.mean(values), error, half_width)

    def __str__(self) -> str:
        return f"{self.value:.3f} % +- {self.half_width:.3f} %"


@dataclasses.dataclass
class Found:
    """All slices: pairs of scanning and rest, and those of the instrument's test."""

    pairs: list[tuple[Slice, Slice]] = dataclasses.field(default_factory=list)
    null: list[tuple[Slice, Slice]] = dataclasses.field(default_factory=list)
    stopped: list[tuple[Slice, Slice]] = dataclasses.field(default_factory=list)
    scanned_bytes: int = 0

    def slow_down(self) -> Mean:
        return difference(self.pairs)

    def plain(self) -> Mean:
        """By comparing slices."""
        return Mean.of([100 * (1 - on.rate / off.rate) for on, off in self.pairs])

    def misses(self) -> list[str]:
        """What the instrument's test has found wrong."""
        missed = []
        null = difference(self.null)
        if not abs(null.value) <= 3 * null.error:
            missed.append(f"rest slows the guest down by {null}")
        stopped = difference(self.stopped)
        dose = statistics.mean(one.stopped_percent for one, _ in self.stopped)
        if not abs(stopped.value - dose) <= 3 * stopped.error + dose / 20:
            missed.append(f"a stop of {dose:.3f} % was taken for {stopped}")
        return missed


def difference(pairs: Sequence[tuple[Slice, Slice]]) -> Mean:
    return Mean.of(
        [one.slow_down_percent - rest.slow_down_percent for one, rest in pairs]
    )


def take_a_break(guest: WorkingGuest) -> None:
    """Leave the guest's core to others for a while."""
    guest.signal(signal.SIGSTOP)
    time.sleep(BREAK_SECONDS)
    guest.signal(signal.SIGCONT)
    time.sleep(SETTLE_SECONDS)


def measure(guest: WorkingGuest, pairs: int) -> Found:
    found = Found()
    schedule = scanned(guest)[0].schedule()
    for number in range(pairs):
        if number % 2:
            rest = rested(guest, schedule)
        scanning, read_bytes = scanned(guest)
        schedule = scanning.schedule()
        if not number % 2:
            rest = rested(guest, schedule)
        found.pairs.append((scanning, rest))
        found.scanned_bytes += read_bytes
        if number % TEST_EVERY_PAIRS == TEST_EVERY_PAIRS - 1:
            take_a_break(guest)
            found.null.append((rested(guest, schedule), rest))
            stopped = rested(guest, schedule, STOPPED_PERCENT)
            found.stopped.append((stopped, rest))
        take_a_break(guest)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=ASKED_PAIRS)
    arguments = parser.parse_args()
    if arguments.pairs < FEWEST_PAIRS:
        parser.error(f"--pairs must be {FEWEST_PAIRS} or more: fewer have no spread")
    os.sched_setaffinity(0, {AGENT_CORE})
    with working(GUEST_CORE) as guest:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        guest.wait_until_it_works()
        found = measure(guest, arguments.pairs)
    mean = found.slow_down()
    dose = statistics.mean(one.stopped_percent for one, _ in found.stopped)
    bursts = statistics.mean(one.burst_percent for one, _ in found.pairs)
    seconds = len(found.pairs) * SLICE_SECONDS
    facts = {
        "interval": str(mean),
        "by_comparing_slices": str(found.plain()),
        "test_at_rest": str(difference(found.null)),
        "test_stopped": f"{difference(found.stopped)}, truly {dose:.3f} %",
        "pairs": len(found.pairs),
        "seconds_a_slice": SLICE_SECONDS,
        "bursts_percent_of_time": round(bursts, 1),
        "scanned_mb_a_second": round(found.scanned_bytes / 2**20 / seconds, 1),
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
            measured=mean.value,
            unit="%",
            facts=facts,
        ),
        Figure(
            name="guest_slow_down_interval",
            what="half width of that slow-down's 95 % interval",
            how="at most",
            asked=ASKED_PERCENT,
            measured=mean.half_width,
            unit="%",
            facts=facts,
        ),
    )
    status = max(figure.publish() for figure in figures)
    missed = found.misses()
    if len(found.pairs) < ASKED_PAIRS:
        missed.append(f"{ASKED_PAIRS} pairs are asked for")
    for miss in missed:
        print(f"not measured: {miss}")
    return 1 if missed else status


if __name__ == "__main__":
    sys.exit(main())
