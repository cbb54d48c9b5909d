# SPDX-License-Identifier: Apache-2.0
import threading

import numpy as np
import pytest

from membuddies_agent import scanner as module
from membuddies_agent.errors import NoFingerprint, ScanInterrupted
from membuddies_agent.guests import Guest
from membuddies_agent.pace import Pace
from membuddies_agent.procfs import Process
from membuddies_agent.scan import Scan
from membuddies_agent.scanner import Scanner
from membuddies_agent.shelf import Shelf
from membuddies_nova.facts import Reason
from membuddies_nova.fingerprint import seal


def guest(uuid: str, pid: int = 1, reason: Reason | None = None) -> Guest:
    return Guest(uuid=uuid, process=Process(pid, 1), reason=reason)


def empty_scan() -> Scan:
    return Scan(
        ids=np.empty(0, dtype=np.uint64),
        seed=0,
        kernel_zero_pages=0,
        mergeable_bytes=0,
        ksm_merging_pages=None,
        ksm_zero_pages=None,
        seconds=0.1,
        reading_seconds=0.0,
    )


class Bench:
    """A scanner with guests, a clock and outcomes that are set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.guests: list[Guest] = []
        self.seconds = 1000.0
        self.outcomes: dict[Process, Exception] = {}
        self.scanned: list[Process] = []
        self.shelf = Shelf(1, seal.SealKey(b"k" * 32))
        self.pace = Pace(60.0, 240.0, clock=lambda: self.seconds)
        self.scanner = Scanner(
            lambda: self.guests,
            self.shelf,
            self.pace,
            seed=0,
            core_share=1.0,
            bytes_per_second=2**30,
        )
        monkeypatch.setattr(module, "scan", self._scan)

    def _scan(self, process: Process, **options: object) -> Scan:
        self.scanned.append(process)
        if process in self.outcomes:
            raise self.outcomes[process]
        return empty_scan()

    def turn(self) -> str | None:
        due = self.scanner.next_due()
        if due is None:
            return None
        self.scanner.scan_guest(due)
        self.seconds += 1
        return due.uuid


@pytest.fixture
def bench(monkeypatch):
    return Bench(monkeypatch)


def test_a_guest_never_scanned_comes_first_then_the_oldest(bench):
    bench.guests = [guest("a"), guest("b")]
    assert [bench.turn(), bench.turn(), bench.turn()] == ["a", "b", None]
    bench.guests.append(guest("c"))
    assert [bench.turn(), bench.turn()] == ["c", None]
    bench.seconds += 66
    assert [bench.turn() for _ in range(4)] == ["a", "b", "c", None]


def test_a_guest_that_holds_still_is_scanned_more_rarely(bench):
    bench.guests = [guest("a")]
    assert bench.turn() == "a"
    bench.seconds += 66
    assert bench.turn() == "a"
    # Nothing has changed in 67 seconds: twice that, varied by a tenth.
    bench.seconds += 119
    assert bench.turn() is None
    bench.seconds += 30
    assert bench.turn() == "a"


def test_a_guest_with_a_reason_is_not_scanned(bench):
    bench.guests = [guest("a", reason=Reason.PAUSED)]
    assert bench.turn() is None


def test_a_guest_started_anew_is_scanned_at_once(bench):
    bench.guests = [guest("a", pid=1)]
    assert [bench.turn(), bench.turn()] == ["a", None]
    bench.guests = [guest("a", pid=2)]
    assert bench.turn() == "a"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NoFingerprint(Reason.NOT_MERGEABLE), Reason.NOT_MERGEABLE),
        (NoFingerprint(Reason.GONE), Reason.GONE),
        (RuntimeError("nobody foresaw this"), Reason.UNREADABLE),
    ],
)
def test_one_guests_failure_never_stops_the_others(bench, error, reason):
    bad, good = guest("bad", pid=1), guest("good", pid=2)
    bench.guests = [bad, good]
    bench.outcomes[bad.process] = error
    assert [bench.turn(), bench.turn(), bench.turn()] == ["bad", "good", None]
    bad_line, good_line = bench.shelf.tell(bench.guests)
    assert bad_line.reason is reason
    assert good_line.counter == 1


def test_a_scan_given_up_leaves_no_trace(bench):
    bench.guests = [guest("a")]
    bench.outcomes[Process(1, 1)] = ScanInterrupted("stopping")
    bench.turn()
    assert bench.shelf.tell(bench.guests)[0].reason is None


def test_the_loop_ends_when_it_is_stopped(bench):
    bench.scanner.stop()
    # In a thread of its own: it lowers its priority, which nobody gives back.
    loop = threading.Thread(target=bench.scanner.run)
    loop.start()
    loop.join()
    assert bench.scanned == []
