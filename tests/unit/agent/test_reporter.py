# SPDX-License-Identifier: Apache-2.0
import threading
from collections.abc import Mapping

import numpy as np
import pytest

from membuddies_agent import reporter as module
from membuddies_agent.guests import Guest
from membuddies_agent.host_facts import HostFactsReader
from membuddies_agent.procfs import Process
from membuddies_agent.reporter import Reporter
from membuddies_agent.shelf import Shelf
from membuddies_nova.bus.client import BusRefused, BusUnavailable
from membuddies_nova.bus.messages import (
    Outcome,
    Report,
    ReportAnswer,
    StoreAnswer,
    StoreRequest,
)
from membuddies_nova.facts import Cause, Number, Reason, Source, Wanted
from membuddies_nova.fingerprint import codec, seal
from membuddies_nova.fingerprint.sample import Sample

A = "0a1b2c3d-0000-4000-8000-00000000000a"
B = "0a1b2c3d-0000-4000-8000-00000000000b"
WANTED = Wanted(A, Cause.UNKNOWN)
PROCESS = Process(4711, 1)
STARTED = 1_700_000_000_000


class Controller:
    """The far end of the bus, which answers as a test wants."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.stores: list[StoreRequest] = []
        self.answers: list[ReportAnswer | Exception] = []
        self.store_error: Exception | None = None
        self.reported = threading.Event()

    def report(self, report: Report) -> ReportAnswer:
        self.reports.append(Report.from_json(report.to_json()))
        self.reported.set()
        answer = self.answers.pop(0) if self.answers else ReportAnswer()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def store(self, request: StoreRequest) -> StoreAnswer:
        if self.store_error is not None:
            raise self.store_error
        self.stores.append(StoreRequest.from_json(request.to_json()))
        return StoreAnswer(outcome=Outcome.STORED)


class Bench:
    def __init__(self, tmp_path) -> None:
        self.key_file = tmp_path / "key"
        self.write_key("ab")
        self.controller = Controller()
        self.guests: tuple[Guest, ...] | None = ()
        self.hurried: list[str] = []
        self.told: list[Mapping[str, Source]] = []
        keys = seal.KeyFile(self.key_file)
        self.shelf = Shelf(STARTED, keys.ring.first)
        self.reporter = Reporter(
            self.controller,
            host="compute-1",
            started=STARTED,
            list_guests=lambda: self.guests,
            shelf=self.shelf,
            host_facts=HostFactsReader(),
            keys=keys,
            period_seconds=60.0,
            scan_soon=self.hurried.append,
            tell_sources=self.told.append,
        )

    def write_key(self, byte: str) -> None:
        self.key_file.write_text(byte * 32)
        self.key_file.chmod(0o600)

    def guest(self, uuid: str, seed: int | None = None) -> None:
        """Add a guest, scanned if there is a seed for its pages."""
        guest = Guest(uuid=uuid, process=PROCESS, reason=None)
        self.guests = (*(self.guests or ()), guest)
        if seed is not None:
            random = np.random.default_rng(seed)
            ids = random.integers(0, 2**64, 5000, dtype=np.uint64)
            self.shelf.put(uuid, PROCESS, Sample.of_pages(ids), 1000.0)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_a_report_names_the_host_and_each_guests_newest_fingerprint(bench):
    bench.guest(A, seed=1)
    bench.guest(B)
    assert bench.reporter.report() == 0.0
    (report,) = bench.controller.reports
    assert (report.host, report.number) == ("compute-1", Number(STARTED, 1))
    assert report.facts.mem_total_bytes > 0
    assert [(guest.uuid, guest.counter) for guest in report.guests] == [
        (A, 1),
        (B, None),
    ]
    assert bench.controller.stores == []


def test_what_the_answer_wants_is_sent_and_nothing_else(bench):
    bench.guest(A, seed=1)
    bench.guest(B, seed=2)
    bench.controller.answers = [ReportAnswer(wanted=(Wanted(B, Cause.DIFFERS),))]
    bench.reporter.report()
    (request,) = bench.controller.stores
    assert (request.host, request.guest) == ("compute-1", B)
    assert request.number.started == STARTED
    assert request.digest == bench.controller.reports[0].guests[1].digest
    assert codec.decode(request.body).counters.unique_pages == 5000
    assert request.scanned_at == 1000.0


def test_a_fingerprint_that_is_wanted_but_gone_is_left_out(bench):
    bench.guest(A)
    bench.controller.answers = [ReportAnswer(wanted=(WANTED, Wanted(B, Cause.UNKNOWN)))]
    bench.reporter.report()
    assert bench.controller.stores == []


def test_what_the_answer_says_of_who_reads_is_passed_on(bench):
    bench.guest(A)
    bench.controller.answers = [ReportAnswer(sources={A: Source.GUEST})]
    bench.reporter.report()
    bench.reporter.report()
    assert bench.told == [{A: Source.GUEST}, {}]


def test_a_fingerprint_that_has_expired_is_made_anew_and_not_sent_again(bench):
    bench.guest(A, seed=1)
    bench.controller.answers = [ReportAnswer(wanted=(Wanted(A, Cause.EXPIRED),))]
    bench.reporter.report()
    assert bench.controller.stores == []
    assert bench.hurried == [A]


def test_each_report_has_a_higher_number(bench):
    for _ in range(3):
        bench.reporter.report()
    counters = [report.number.counter for report in bench.controller.reports]
    assert counters == [1, 2, 3]


def test_nothing_is_reported_before_libvirt_has_answered(bench):
    bench.guests = None
    bench.reporter.report()
    assert bench.controller.reports == []


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_reaches_the_controller(bench, reason):
    bench.guests = (Guest(uuid=A, process=PROCESS, reason=reason),)
    bench.reporter.report()
    (line,) = bench.controller.reports[0].guests
    assert (line.reason, line.counter) == (reason, None)


def test_a_guest_of_which_nothing_is_known_is_told_without_a_reason(bench):
    bench.guests = (Guest(uuid=A, process=None, reason=Reason.SHUT_OFF),)
    bench.reporter.report()
    assert bench.controller.reports[0].guests[0].reason is Reason.SHUT_OFF


def test_a_new_key_in_the_file_is_used_from_the_next_report_on(bench):
    bench.guest(A, seed=1)
    bench.reporter.report()
    bench.write_key("cd")
    bench.controller.answers = [ReportAnswer(wanted=(WANTED,))]
    bench.reporter.report()
    first, second = bench.controller.reports
    assert first.guests[0].digest != second.guests[0].digest
    key = seal.KeyRing.from_file(bench.key_file).first
    assert codec.decode(bench.controller.stores[0].body).key_id == key.key_id


def test_a_key_file_that_becomes_unsafe_leaves_the_last_key_in_use(bench, caplog):
    bench.guest(A, seed=1)
    bench.key_file.chmod(0o644)
    bench.reporter.report()
    bench.reporter.report()
    assert bench.controller.reports[1].guests[0].counter == 1
    assert caplog.text.count("chmod 0600") == 1


def test_an_absent_controller_is_told_of_once_and_asked_again_soon(bench, caplog):
    caplog.set_level("INFO")
    bench.controller.answers = [BusUnavailable("nobody")] * 12
    delays = [bench.reporter._report_and_plan() for _ in range(12)]
    assert not any(hurry for _, hurry in delays)
    for number, (delay, _) in enumerate(delays):
        ceiling = min(60.0, 2.0 * 2**number)
        assert 0.5 * ceiling <= delay <= 1.5 * ceiling
    assert caplog.text.count("The controller does not answer: nobody") == 1
    bench.reporter._report_and_plan()
    assert caplog.text.count("The controller answers again") == 1


def test_a_store_that_fails_ends_the_report_and_the_next_starts_over(bench):
    bench.guest(A, seed=1)
    bench.controller.answers = [
        ReportAnswer(wanted=(WANTED,)),
        ReportAnswer(wanted=(WANTED,)),
    ]
    bench.controller.store_error = BusUnavailable("the database is away")
    assert bench.reporter._report_and_plan()[0] <= 3.0
    bench.controller.store_error = None
    bench.reporter._report_and_plan()
    assert [request.guest for request in bench.controller.stores] == [A]


def test_each_period_is_varied_by_a_tenth(bench):
    delays = {bench.reporter._report_and_plan() for _ in range(20)}
    assert len(delays) == 20
    assert all(54.0 <= delay <= 66.0 and hurry for delay, hurry in delays)


def test_the_controllers_wish_to_slow_down_is_honoured(bench):
    bench.controller.answers = [ReportAnswer(slow_down_seconds=300.0)]
    delay, hurry = bench.reporter._report_and_plan()
    assert 300.0 <= delay <= 330.0
    assert not hurry, "a change of the guests must not bring the next one forward"


def test_no_controller_silences_an_agent_for_good(bench):
    bench.controller.answers = [ReportAnswer(slow_down_seconds=1e9)]
    delay, _ = bench.reporter._report_and_plan()
    assert 300.0 <= delay <= 330.0


@pytest.mark.parametrize(
    "error", [BusRefused("your clock is wrong"), RuntimeError("nobody foresaw this")]
)
def test_a_report_that_fails_does_not_end_the_reports(bench, caplog, error):
    bench.controller.answers = [error]
    delay, hurry = bench.reporter._report_and_plan()
    assert 54.0 <= delay <= 66.0
    assert hurry
    assert str(error) in caplog.text


def test_a_change_of_the_guests_brings_the_next_report_forward(bench, monkeypatch):
    monkeypatch.setattr(module, "_FIRST_WITHIN_SECONDS", 0.0)
    thread = threading.Thread(target=bench.reporter.run)
    thread.start()
    try:
        assert bench.controller.reported.wait(30)
        bench.controller.reported.clear()
        bench.reporter.ask()
        assert bench.controller.reported.wait(30), "no second report within 30 s"
    finally:
        bench.reporter.stop()
        thread.join(30)
    assert not thread.is_alive()


def test_agents_that_start_at_one_time_do_not_report_at_once(tmp_path, monkeypatch):
    waited = []

    class Stopping(threading.Event):
        def wait(self, timeout=None):
            waited.append(timeout)
            self.set()
            return True

    for number in range(20):
        (tmp_path / str(number)).mkdir()
        reporter = Bench(tmp_path / str(number)).reporter
        monkeypatch.setattr(reporter, "_stopping", Stopping())
        reporter.run()
    assert len(set(waited)) == 20
    assert all(0 <= seconds <= 10 for seconds in waited)
