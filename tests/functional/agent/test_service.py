# SPDX-License-Identifier: Apache-2.0
"""The whole agent: a real libvirt, real guests, a real broker."""

import os
import signal

import pytest

from membuddies_agent import procfs
from membuddies_agent.service import AgentService
from membuddies_nova import exceptions
from membuddies_nova.conf import agent, bus
from membuddies_nova.facts import FINGERPRINT_SOURCE_KEY, Reason, Source
from membuddies_nova.fingerprint import codec, seal
from tests.functional.agent.controller import WAIT_SECONDS, controlling, running
from tests.functional.agent.libvirt_daemon import domain_xml

PREFIX = "6f0c2f3e-0000-4000-8000-00000000e0"


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


def test_a_second_scan_tells_what_holds_still_and_how_fast_the_guest_changes(
    conf, libvirt
):
    uuid = PREFIX + "02"
    libvirt.create(domain_xml(uuid))
    with controlling(conf) as controller, running(conf):
        while codec.decode(controller.stored(uuid).body).stable is None:
            pass
        first = controller.line_of(uuid, lambda line: line and line.counter)
        later = controller.line_of(uuid, lambda line: line and line.counter > 1)
    assert first.counter > 1 or first.change_fraction_per_hour is None
    assert later.change_fraction_per_hour >= 0.0


@pytest.mark.parametrize("said_by", ["option", "flavor", "image"])
def test_a_guest_is_asked_itself_where_somebody_says_so(conf, libvirt, said_by):
    """It has no guest agent, and its memory is not read instead.

    Of an image the controller tells, and until it has the option holds.
    """
    uuid = PREFIX + "0b"
    socket = f"qemu+unix:///system?socket={libvirt.directory}/libvirt-sock"
    conf.set_override("guest_agent_uri", socket, agent.GROUP)
    xml = domain_xml(uuid)
    if said_by == "option":
        conf.set_override("fingerprint_source", "guest", agent.GROUP)
    elif said_by == "flavor":
        xml = domain_xml(uuid, extra_specs={FINGERPRINT_SOURCE_KEY: "guest"})
    libvirt.create(xml)
    with controlling(conf) as controller, running(conf):
        if said_by == "image":
            controller.stored(uuid)
            controller.sources = {uuid: Source.GUEST}
        line = controller.line_of(uuid, lambda line: line and line.reason)
        while said_by == "image" and not controller.stores.empty():
            controller.stores.get()
        for _ in range(3):
            assert (line.reason, line.counter) == (Reason.GUEST_AGENT_SILENT, None)
            line = controller.line_of(uuid, bool)
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
            line = controller.line_of(
                uuid, lambda line: line and (line.counter or 0) > first.number.counter
            )
            second = controller.stored(uuid)
            while second.number == first.number:
                # It had not scanned again when the second controller came.
                second = controller.stored(uuid)
    assert second.number.counter >= line.counter


def test_a_restarted_broker_is_found_again(conf, libvirt, rabbitmq):
    uuid = PREFIX + "09"
    libvirt.create(domain_xml(uuid))
    with controlling(conf) as controller, running(conf):
        controller.line_of(uuid, bool)
        rabbitmq.kill()
        rabbitmq.start()
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


def test_intervals_that_contradict_each_other_stop_the_start(conf):
    conf.set_override("scan_interval_seconds", 60.0, agent.GROUP)
    with pytest.raises(exceptions.ConfigurationError, match="at least as long"):
        AgentService(conf)
