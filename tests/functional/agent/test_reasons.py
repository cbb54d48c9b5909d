# SPDX-License-Identifier: Apache-2.0
"""Why a guest has no fingerprint: told by the agent, of real guests."""

import os
import signal
import subprocess
import sys

import pytest

from membuddies_agent import procfs, roster
from membuddies_nova.conf import agent
from membuddies_nova.facts import Reason
from tests.functional.agent.controller import (
    WAIT_SECONDS,
    controlling,
    running,
)
from tests.functional.agent.libvirt_daemon import domain_xml

PREFIX = "6f0c2f3e-0000-4000-8000-00000000f0"
NO_SHARE = "<memoryBacking><nosharepages/></memoryBacking>"
SHARED = '<memoryBacking><source type="memfd"/><access mode="shared"/></memoryBacking>'
HUGE = "<memoryBacking><hugepages/></memoryBacking>"


def has_reason(line):
    return line is not None and line.reason is not None


def test_what_keeps_a_guest_from_merging_is_told(conf, libvirt, huge_pages):
    expected = {}
    for number, options, reason in (
        ("01", {"nova": False}, Reason.NOT_NOVA),
        ("02", {"backing": NO_SHARE}, Reason.NOT_MERGEABLE),
        ("03", {"backing": SHARED}, Reason.SHARED_MEMORY),
        ("04", {"backing": HUGE}, Reason.HUGE_PAGES),
    ):
        libvirt.create(domain_xml(PREFIX + number, **options))
        expected[PREFIX + number] = reason
    libvirt.create(domain_xml(PREFIX + "05"), "--paused")
    expected[PREFIX + "05"] = Reason.PAUSED
    off = libvirt.directory / "off.xml"
    off.write_text(domain_xml(PREFIX + "06"))
    libvirt.virsh("define", str(off))
    expected[PREFIX + "06"] = Reason.SHUT_OFF
    try:
        with controlling(conf) as controller, running(conf):
            report = controller.reports.get(timeout=WAIT_SECONDS)
    finally:
        libvirt.virsh("undefine", PREFIX + "06")
    assert {guest.uuid: guest.reason for guest in report.guests} == expected
    assert all(guest.counter is None for guest in report.guests)


def test_a_guest_without_a_process_here_is_not_qemu(conf, libvirt, monkeypatch):
    """As where libvirt's guests live in another container than the agent."""
    uuid = PREFIX + "07"
    libvirt.create(domain_xml(uuid))
    monkeypatch.setattr(procfs, "_pid_namespace", lambda entry: str(entry))
    with controlling(conf) as controller, running(conf):
        line = controller.line_of(uuid, has_reason)
    assert line.reason is Reason.NOT_QEMU


def test_a_guest_that_has_just_started_is_too_young_until_it_is_not(
    conf, libvirt, monkeypatch
):
    # libvirt tells of no birthday.
    monkeypatch.setattr(roster, "_REFRESH_SECONDS", 0.5)
    uuid = PREFIX + "08"
    conf.set_override("min_guest_age_seconds", 3600.0, agent.GROUP)
    libvirt.create(domain_xml(uuid))
    with controlling(conf) as controller, running(conf) as service:
        line = controller.line_of(uuid, has_reason)
        assert line.reason is Reason.TOO_YOUNG
        started = procfs.qemu_processes()[uuid].start_ticks
        age_ticks = procfs.ticks_ago(0) - started
        soon = age_ticks / os.sysconf("SC_CLK_TCK") + 2
        conf.set_override("min_guest_age_seconds", soon, agent.GROUP)
        service.reset()
        controller.line_of(uuid, lambda line: line and not line.reason)
        assert procfs.ticks_ago(soon) >= started
        controller.stored(uuid)


def test_a_guest_that_ends_while_libvirt_is_away_is_gone(conf, libvirt, monkeypatch):
    # Nobody tells that it is back.
    monkeypatch.setattr(roster, "_REFRESH_SECONDS", 0.5)
    uuid = PREFIX + "09"
    libvirt.create(domain_xml(uuid))
    with controlling(conf) as controller, running(conf):
        controller.stored(uuid)
        libvirt.stop()
        try:
            os.kill(procfs.qemu_processes()[uuid].pid, signal.SIGKILL)
            line = controller.line_of(uuid, has_reason)
        finally:
            libvirt.start()
        assert (line.reason, line.counter) == (Reason.GONE, None)
        controller.line_of(uuid, lambda line: line is None)


@pytest.mark.parametrize(
    ("source", "reason", "words"),
    [
        (
            "host",
            Reason.UNREADABLE,
            "cannot be read: the agent lacks CAP_SYS_PTRACE;",
        ),
        ("auto", Reason.GUEST_AGENT_SILENT, Reason.GUEST_AGENT_SILENT.sentence),
    ],
)
def test_a_guest_that_may_not_be_read_is_unreadable_or_asked_itself(
    conf, libvirt, tmp_path, source, reason, words
):
    uuid = PREFIX + "0b"
    libvirt.create(domain_xml(uuid))
    file = tmp_path / "membuddies.conf"
    file.write_text(
        f"""\
[membuddies]
transport_url = {conf.membuddies.transport_url}
[agent]
host = compute-1
libvirt_uri = {libvirt.uri}
guest_agent_uri = qemu+unix:///system?socket={libvirt.directory}/libvirt-sock
fingerprint_source = {source}
key_file = {conf.agent.key_file}
report_period_seconds = 1
min_guest_age_seconds = 0
"""
    )
    command = [
        *("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"),
        *(sys.executable, "-m", "membuddies_nova.cmd.agent"),
        *("--config-file", str(file)),
    ]
    log = tmp_path / "log"
    with controlling(conf) as controller, log.open("wb") as output:
        one = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            line = controller.line_of(uuid, has_reason)
        finally:
            one.terminate()
            one.wait(WAIT_SECONDS)
    assert (line.reason, line.counter) == (reason, None)
    assert words in log.read_text()
