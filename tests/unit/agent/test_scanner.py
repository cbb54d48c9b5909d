# SPDX-License-Identifier: Apache-2.0
import dataclasses
import threading

import numpy as np
import pytest

from membuddies_agent.errors import NoFingerprint, ScanInterrupted
from membuddies_agent.guests import Guest
from membuddies_agent.pace import Pace
from membuddies_agent.procfs import Process
from membuddies_agent.scanner import Scanner
from membuddies_agent.shelf import Shelf
from membuddies_nova.facts import Reason, Source
from membuddies_nova.fingerprint import seal
from membuddies_nova.fingerprint.sample import Counters, Sample


def guest(uuid: str, pid: int = 1, reason: Reason | None = None) -> Guest:
    return Guest(uuid=uuid, process=Process(pid, 1), reason=reason)


class Bench:
    """A scanner with guests, a clock and outcomes that are set by hand.

    It is the way to the guests' samples, too.
    """

    source = Source.HOST
    failure = Reason.UNREADABLE

    def __init__(self) -> None:
        self.guests: list[Guest] = []
        self.seconds = 1000.0
        self.outcomes: dict[Process, Exception] = {}
        self.scanned: list[Process] = []
        self.stopped = False
        self.shelf = Shelf(1, seal.SealKey(b"k" * 32))
        self.pace = Pace(60.0, 240.0, clock=lambda: self.seconds)
        self.scanner = Scanner(lambda: self.guests, self.shelf, self.pace, self)

    def sample(self, guest: Guest) -> Sample:
        self.scanned.append(guest.process)
        if guest.process in self.outcomes:
            raise self.outcomes[guest.process]
        counters = Counters(resident_pages=0, unique_pages=0, zero_pages=0)
        return Sample(items=np.empty(0, dtype=np.uint64), shift=6, counters=counters)

    def stop(self) -> None:
        self.stopped = True

    def turn(self) -> str | None:
        due = self.scanner.next_due()
        if due is None:
            return None
        self.scanner.scan_guest(due)
        self.seconds += 1
        return due.uuid


@pytest.fixture
def bench():
    return Bench()


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
    assert bench.stopped


def test_a_guest_of_another_source_is_left_to_another_scanner(bench):
    bench.guests = [dataclasses.replace(guest("a"), source=Source.GUEST)]
    assert bench.turn() is None
    bench.source = Source.GUEST
    assert bench.turn() == "a"
