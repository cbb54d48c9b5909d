# SPDX-License-Identifier: Apache-2.0
"""The whole agent: a real libvirt, real guests, a real broker."""

import contextlib
import os
import queue
import signal
from collections.abc import Callable

import oslo_messaging
import pytest
from oslo_config import cfg

from membuddies_agent import procfs
from membuddies_agent.service import AgentService
from membuddies_nova import exceptions
from membuddies_nova.bus import tag
from membuddies_nova.bus.messages import Outcome, Report, ReportAnswer, StoreAnswer
from membuddies_nova.bus.messages import StoreRequest as Store
from membuddies_nova.bus.server import BusServer
from membuddies_nova.conf import agent, bus
from membuddies_nova.facts import Cause, GuestFacts, Reason, Wanted
from membuddies_nova.fingerprint import codec, seal
from tests.functional.agent.libvirt_daemon import domain_xml

PREFIX = "6f0c2f3e-0000-4000-8000-00000000e0"
WAIT_SECONDS = 60


class Controller:
    """An endpoint that wants every fingerprint it has not got."""

    target = oslo_messaging.Target(version="1.0")

    def __init__(self, key_file: str) -> None:
        self._key_file = key_file
        self.reports: queue.Queue[Report] = queue.Queue()
        self.stores: queue.Queue[Store] = queue.Queue()
        self._digests: set[str] = set()

    def report(self, context: object, message: object = None) -> object:
        report = Report.from_json(message)
        tag.check("report", message, seal.KeyRing.from_file(self._key_file))
        self.reports.put(report)
        wanted = tuple(
            Wanted(guest.uuid, Cause.UNKNOWN)
            for guest in report.guests
            if guest.digest is not None and guest.digest not in self._digests
        )
        return ReportAnswer(wanted=wanted).to_json()

    def store(self, context: object, message: object = None) -> object:
        request = Store.from_json(message)
        tag.check("store", message, seal.KeyRing.from_file(self._key_file))
        self._digests.add(request.digest)
        self.stores.put(request)
        return StoreAnswer(outcome=Outcome.STORED).to_json()

    def scoreboard(self, context: object, message: object = None) -> object:
        raise NotImplementedError

    def line_of(
        self, uuid: str, wanted: Callable[[GuestFacts | None], bool]
    ) -> GuestFacts | None:
        """A guest's line in the first report where it is as wanted."""
        while True:
            report = self.reports.get(timeout=WAIT_SECONDS)
            lines = {guest.uuid: guest for guest in report.guests}
            if wanted(lines.get(uuid)):
                return lines.get(uuid)

    def stored(self, uuid: str) -> Store:
        """The next fingerprint of a guest."""
        while True:
            request = self.stores.get(timeout=WAIT_SECONDS)
            if request.guest == uuid:
                return request


@pytest.fixture
def conf(tmp_path, transport_url, libvirt):
    key_file = tmp_path / "key"
    key_file.write_text("ab" * 32)
    key_file.chmod(0o600)
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[])
    agent.register(conf)
    bus.register(conf)
    conf.set_override("host", "compute-1", agent.GROUP)
    conf.set_override("libvirt_uri", libvirt.uri, agent.GROUP)
    conf.set_override("key_file", str(key_file), agent.GROUP)
    conf.set_override("report_period_seconds", 2.0, agent.GROUP)
    conf.set_override("scan_interval_seconds", 1.0, agent.GROUP)
    conf.set_override("scan_interval_max_seconds", 2.0, agent.GROUP)
    conf.set_override("min_guest_age_seconds", 0.0, agent.GROUP)
    conf.set_override("transport_url", transport_url, bus.GROUP)
    conf.set_override("rpc_timeout_seconds", 5.0, bus.GROUP)
    return conf


@contextlib.contextmanager
def controlling(conf):
    controller = Controller(conf.agent.key_file)
    server = BusServer(conf, controller, "controller-1", threads=1)
    server.start()
    try:
        yield controller
    finally:
        assert server.stop(WAIT_SECONDS)


@contextlib.contextmanager
def running(conf):
    service = AgentService(conf)
    service.start()
    try:
        yield service
    finally:
        service.stop()
        service.wait()


def test_a_guests_fingerprint_arrives_under_the_clouds_key(conf, libvirt):
    uuid = PREFIX + "01"
    libvirt.create(domain_xml(uuid))
    with controlling(conf) as controller, running(conf):
        stored = controller.stored(uuid)
        line = controller.line_of(uuid, lambda line: line and line.counter)
        report = controller.reports.get(timeout=WAIT_SECONDS)
    assert (stored.host, report.host) == ("compute-1", "compute-1")
    assert stored.number.started == report.number.started
    assert line.reason is None
    sample = codec.decode(stored.body)
    key = seal.KeyRing.from_file(conf.agent.key_file).first
    assert sample.key_id == key.key_id
    assert sample.counters.resident_pages > 0
    assert report.facts.mem_total_bytes > 0


def test_a_second_scan_tells_which_items_hold_still(conf, libvirt):
    uuid = PREFIX + "02"
    libvirt.create(domain_xml(uuid))
    with controlling(conf) as controller, running(conf):
        while codec.decode(controller.stored(uuid).body).stable is None:
            pass


def test_guests_that_have_no_fingerprint_are_told_with_a_reason(conf, libvirt):
    not_nova, paused = PREFIX + "03", PREFIX + "04"
    libvirt.create(domain_xml(not_nova, nova=False))
    libvirt.create(domain_xml(paused), "--paused")
    with controlling(conf) as controller, running(conf):
        line = controller.line_of(not_nova, bool)
        assert line.reason is Reason.NOT_NOVA
        assert controller.line_of(paused, bool).reason is Reason.PAUSED


def test_a_guest_is_asked_itself_where_the_operator_says_so(conf, libvirt):
    """It has no guest agent, and its memory is not read instead."""
    uuid = PREFIX + "0b"
    socket = f"qemu+unix:///system?socket={libvirt.directory}/libvirt-sock"
    conf.set_override("fingerprint_source", "guest", agent.GROUP)
    conf.set_override("guest_agent_uri", socket, agent.GROUP)
    libvirt.create(domain_xml(uuid))
    with controlling(conf) as controller, running(conf):
        line = controller.line_of(uuid, lambda line: line and line.reason)
    assert line.reason is Reason.GUEST_AGENT_SILENT
    assert controller.stores.empty()


def test_a_guest_that_stops_is_told_at_once(conf, libvirt):
    uuid = PREFIX + "05"
    conf.set_override("report_period_seconds", 3600.0, agent.GROUP)
    with controlling(conf) as controller, running(conf):
        controller.line_of(uuid, lambda line: line is None)
        libvirt.create(domain_xml(uuid))
        controller.line_of(uuid, lambda line: line is not None)
        libvirt.virsh("destroy", uuid)
        controller.line_of(uuid, lambda line: line is None)


def test_one_guest_that_dies_does_not_stop_the_others(conf, libvirt):
    dying, living = PREFIX + "06", PREFIX + "07"
    libvirt.create(domain_xml(dying))
    libvirt.create(domain_xml(living))
    with controlling(conf) as controller, running(conf):
        controller.stored(dying)
        os.kill(procfs.qemu_processes()[dying].pid, signal.SIGKILL)
        controller.line_of(dying, lambda line: line is None)
        before = controller.line_of(living, lambda line: line and line.counter)
        controller.line_of(living, lambda line: line.counter > before.counter)


def test_while_the_controller_is_away_only_the_newest_is_kept(conf, libvirt):
    uuid = PREFIX + "08"
    libvirt.create(domain_xml(uuid))
    with running(conf):
        # The agent starts alone, scans, and finds the controller later.
        with controlling(conf) as controller:
            first = controller.stored(uuid)
        with controlling(conf) as controller:
            line = controller.line_of(uuid, lambda line: line and line.counter)
            second = controller.stored(uuid)
    assert line.counter > first.number.counter
    assert second.number > first.number


def test_a_restarted_broker_is_found_again(conf, libvirt, rabbitmq):
    uuid = PREFIX + "09"
    libvirt.create(domain_xml(uuid))
    with controlling(conf) as controller, running(conf):
        controller.line_of(uuid, bool)
        rabbitmq.restart()
        while not controller.reports.empty():
            controller.reports.get()
        controller.line_of(uuid, bool)


def test_a_new_key_reaches_the_controller_within_a_period(conf, libvirt):
    uuid = PREFIX + "0a"
    libvirt.create(domain_xml(uuid))
    conf.set_override("scan_interval_seconds", 3600.0, agent.GROUP)
    conf.set_override("scan_interval_max_seconds", 3600.0, agent.GROUP)
    with controlling(conf) as controller, running(conf):
        before = codec.decode(controller.stored(uuid).body)
        with open(conf.agent.key_file, "w") as file:
            file.write("cd" * 32)
        after = codec.decode(controller.stored(uuid).body)
    assert after.key_id == seal.SealKey(b"\xcd" * 32).key_id != before.key_id
    assert after.counters == before.counters


def test_an_agent_without_a_key_does_not_start(conf, tmp_path):
    conf.set_override("key_file", str(tmp_path / "none"), agent.GROUP)
    with pytest.raises(exceptions.ConfigurationError, match="openssl rand -hex 32"):
        AgentService(conf)


def test_the_agent_ends_in_time_while_nothing_answers(conf):
    conf.set_override("libvirt_uri", "qemu+unix:///system?socket=/nowhere", agent.GROUP)
    conf.set_override("transport_url", "rabbit://nobody@127.0.0.1:1/", bus.GROUP)
    with running(conf):
        pass
