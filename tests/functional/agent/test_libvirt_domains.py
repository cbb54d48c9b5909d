# SPDX-License-Identifier: Apache-2.0
"""The list of guests against a real libvirtd with real QEMUs."""

import concurrent.futures
import contextlib
import itertools
import pathlib
import tempfile
import threading

import pytest

from membuddies_agent import procfs
from membuddies_agent.guests import Guest, guests
from membuddies_agent.libvirt_domains import LibvirtDomains, LibvirtUnavailable
from membuddies_agent.roster import Roster
from membuddies_agent.scan import scan
from membuddies_nova.facts import Reason
from tests.functional.agent import libvirt_daemon
from tests.functional.agent.libvirt_daemon import domain_xml

PREFIX = "6f0c2f3e-0000-4000-8000-00000000d0"
SHARED = '<memoryBacking><source type="memfd"/><access mode="shared"/></memoryBacking>'


class Watched:
    """A connection whose changes are counted."""

    def __init__(self, uri: str) -> None:
        self.changed = threading.Event()
        self.domains = LibvirtDomains(uri, self.changed.set)

    def guests(self) -> dict[str, Guest]:
        found = guests(
            self.domains.list(), procfs.qemu_processes(), procfs.ticks_ago(0)
        )
        return {guest.uuid: guest for guest in found}

    def await_change(self) -> None:
        assert self.changed.wait(30), "libvirt told of no change"
        self.changed.clear()


@pytest.fixture
def watched(libvirt):
    one = Watched(libvirt.uri)
    with contextlib.closing(one.domains):
        yield one


def test_a_running_guest_of_novas_is_listed_with_its_process(libvirt, watched):
    uuid = PREFIX + "01"
    libvirt.create(domain_xml(uuid))
    guest = watched.guests()[uuid]
    assert guest.reason is None
    command = (procfs.PROC / str(guest.process.pid) / "cmdline").read_bytes()
    assert uuid.encode() in command
    assert len(scan(guest.process).ids) > 0


@pytest.mark.parametrize(
    ("number", "options", "reason"),
    [
        ("02", {"nova": False}, Reason.NOT_NOVA),
        ("03", {"backing": SHARED}, Reason.SHARED_MEMORY),
        (
            "04",
            {"backing": "<memoryBacking><nosharepages/></memoryBacking>"},
            Reason.NOT_MERGEABLE,
        ),
    ],
)
def test_a_guest_that_is_skipped_has_a_reason(
    libvirt, watched, number, options, reason
):
    uuid = PREFIX + number
    libvirt.create(domain_xml(uuid, **options))
    assert watched.guests()[uuid].reason is reason


def test_a_guest_with_nosharepages_has_no_mergeable_mapping(libvirt, watched):
    uuid = PREFIX + "05"
    libvirt.create(
        domain_xml(uuid, backing="<memoryBacking><nosharepages/></memoryBacking>")
    )
    process = watched.guests()[uuid].process
    smaps = (procfs.PROC / str(process.pid) / "smaps").read_text()
    assert not [
        line
        for line in smaps.splitlines()
        if line.startswith("VmFlags:") and "mg" in line.split()
    ]


def test_a_paused_guest_is_known_and_told_by_an_event(libvirt, watched):
    uuid = PREFIX + "06"
    libvirt.create(domain_xml(uuid))
    assert watched.guests()[uuid].reason is None
    watched.changed.clear()
    libvirt.virsh("suspend", uuid)
    watched.await_change()
    assert watched.guests()[uuid].reason is Reason.PAUSED
    libvirt.virsh("resume", uuid)
    watched.await_change()
    assert watched.guests()[uuid].reason is None


def test_a_guest_that_is_shut_off_is_known_and_told_by_an_event(libvirt, watched):
    uuid = PREFIX + "07"
    file = libvirt.directory / "off.xml"
    file.write_text(domain_xml(uuid))
    libvirt.virsh("define", str(file))
    assert watched.guests()[uuid].reason is Reason.SHUT_OFF
    watched.changed.clear()
    libvirt.virsh("start", uuid)
    watched.await_change()
    assert watched.guests()[uuid].reason is None
    libvirt.virsh("destroy", uuid)
    watched.await_change()
    assert watched.guests()[uuid].reason is Reason.SHUT_OFF
    libvirt.virsh("undefine", uuid)


def test_a_restarted_libvirtd_is_found_again_and_its_events_too(libvirt, watched):
    uuid = PREFIX + "08"
    libvirt.create(domain_xml(uuid))
    assert uuid in watched.guests()
    libvirt.stop()
    try:
        with pytest.raises(LibvirtUnavailable, match="is its daemon running"):
            watched.domains.list()
    finally:
        libvirt.start()
    assert watched.guests()[uuid].reason is None
    watched.changed.clear()
    libvirt.virsh("suspend", uuid)
    watched.await_change()
    assert watched.guests()[uuid].reason is Reason.PAUSED


def test_while_libvirt_is_away_the_last_list_of_guests_stands(libvirt, watched):
    uuid = PREFIX + "09"
    libvirt.create(domain_xml(uuid))
    roster = Roster(watched.domains.list, lambda: None)
    assert roster.guests is None
    assert roster.refresh()
    assert not roster.refresh()
    libvirt.stop()
    try:
        with pytest.raises(LibvirtUnavailable):
            roster.refresh()
    finally:
        libvirt.start()
    assert uuid in {guest.uuid for guest in roster.guests}


def test_a_change_reaches_whoever_asked(libvirt):
    uuid = PREFIX + "0a"
    changed = threading.Event()
    roster: Roster
    domains = LibvirtDomains(libvirt.uri, lambda: roster.ask())
    roster = Roster(domains.list, changed.set)
    thread = threading.Thread(target=roster.run)
    thread.start()
    try:
        assert changed.wait(30)
        changed.clear()
        libvirt.create(domain_xml(uuid))
        assert changed.wait(30)
        assert uuid in {guest.uuid for guest in roster.guests}
    finally:
        roster.stop()
        thread.join()
        domains.close()


def test_a_connection_to_nowhere_says_what_to_do():
    with (
        contextlib.closing(
            LibvirtDomains("qemu+unix:///system?socket=/nowhere", lambda: None)
        ) as domains,
        pytest.raises(LibvirtUnavailable) as raised,
    ):
        domains.list()
    assert "libvirt at qemu+unix:///system?socket=/nowhere" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_guest_that_still_arrives_is_not_scanned(libvirt):
    """The state that libvirt gives a guest while it is migrated to it."""
    uuid = PREFIX + "0b"
    with (
        tempfile.TemporaryDirectory(prefix="mb-libvirt-") as directory,
        libvirt_daemon.daemon(pathlib.Path(directory)) as other,
    ):
        here, there = Watched(libvirt.uri), Watched(other.uri)
        with contextlib.closing(here.domains), contextlib.closing(there.domains):
            libvirt.create(domain_xml(uuid))
            assert there.guests() == {}
            seen = migrate_slowly(libvirt, other, uuid, there)
            # It runs there before the command that moves it returns.
            assert [reason for reason, _ in itertools.groupby(seen)] in (
                [Reason.INCOMING],
                [Reason.INCOMING, None],
            )
            assert there.guests()[uuid].reason is None
            assert uuid not in here.guests()
            # Its memory is older than its process: it is not too young.
            assert [domain.memory_came for domain in there.domains.list()] == [True]


def migrate_slowly(
    source: libvirt_daemon.Daemon,
    destination: libvirt_daemon.Daemon,
    uuid: str,
    there: Watched,
) -> list[Reason | None]:
    """Migrate a guest, with little bandwidth.

    :returns: its reasons at the destination while it arrived
    """
    arguments = (
        *("migrate", "--live", "--p2p", "--bandwidth", "1", uuid),
        *("--migrateuri", f"unix://{destination.directory}/migration"),
        f"qemu+unix:///system?socket={destination.directory}/libvirt-sock",
    )
    seen = []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        migration = pool.submit(source.virsh, *arguments)
        while not migration.done():
            listed = there.guests()
            if uuid in listed and not migration.done():
                seen.append(listed[uuid].reason)
        migration.result()
    return seen
