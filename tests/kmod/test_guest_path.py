# SPDX-License-Identifier: Apache-2.0
"""A fingerprint that a real guest makes, fetched by the agent's own code."""

import base64
import contextlib
import hashlib
import json
import lzma
import pathlib
import threading
import time

import numpy as np
import pytest

from membuddies_agent import trace as traces
from membuddies_agent.errors import NoFingerprint, ScanInterrupted
from membuddies_agent.guest_agent import GuestAgent
from membuddies_agent.libvirt_domains import LibvirtDomains
from membuddies_agent.libvirt_guest_agent import guest_agent_of
from membuddies_agent.pace import Pace
from membuddies_agent.roster import Roster
from membuddies_agent.scan import scan
from membuddies_agent.scanner import Scanner
from membuddies_agent.shelf import Shelf
from membuddies_agent.source import Choice
from membuddies_agent.way import GuestWay
from membuddies_nova.facts import Reason, Source
from membuddies_nova.fingerprint import codec, seal
from membuddies_nova.fingerprint.sample import Sample
from tests.functional.agent.libvirt_daemon import domain_xml
from tests.kmod import guest as guests
from tests.kmod.test_module import LOAD

MEMORY_BYTES = guests.MEMORY_MB << 20
TRACE = f"{traces.TRACER} 0 60"
UUID = "6f0c2f3e-0000-4000-8000-0000000e00"
HOSTILE_TRACER = pathlib.Path(__file__).with_name("hostile-tracer.sh")


def trace(guest, *, timeout_seconds=60.0, seed=0, stop=None) -> Sample:
    with guest_agent_of(guest.write_uri, guest.uuid) as carry:
        return traces.trace(
            GuestAgent(carry, stop or threading.Event()),
            seed=seed,
            memory_bytes=MEMORY_BYTES,
            timeout_seconds=timeout_seconds,
        )


def refusal(guest, **options) -> Reason:
    with pytest.raises(NoFingerprint) as raised:
        trace(guest, **options)
    assert str(raised.value) == raised.value.reason.sentence
    return raised.value.reason


def test_a_guest_s_own_fingerprint_is_that_which_its_host_would_take(guest):
    own = trace(guest)
    host = scan(guest.process).sample()
    assert own.shift == host.shift == 6
    assert own.counters.resident_pages > own.counters.unique_pages > 1000
    # The host sees free pages, too, and both see the guest at work.
    assert np.isin(own.items, host.items).mean() > 0.9


def test_the_agent_shelves_what_a_guest_makes_under_the_clouds_key(guest):
    key = seal.SealKey(b"k" * 32)
    shelf = Shelf(1, key)
    way = GuestWay(uri=guest.write_uri, seed=0, timeout_seconds=60.0)
    with contextlib.closing(LibvirtDomains(guest.daemon.uri, lambda: None)) as domains:
        roster = Roster(domains.list, lambda: None, choice=Choice(default=Source.GUEST))
        roster.refresh()
    (listed,) = [one for one in roster.guests if one.uuid == guest.uuid]
    assert listed.reason is None
    Scanner(lambda: [listed], shelf, Pace(60.0, 60.0), way).scan_guest(listed)
    fingerprint = codec.decode(shelf.newest(guest.uuid).body)
    assert fingerprint.key_id == key.key_id
    assert fingerprint.counters.resident_pages > 1000
    assert len(fingerprint.items) > 50


def test_a_trace_leaves_nothing_in_the_guest(guest):
    trace(guest)
    assert guest.status("grep membuddies /proc/modules") == 1
    assert guest.output("ls -A /run/membuddies") == b"lock\n"


def test_a_seed_gives_other_ids(guest):
    assert not np.isin(trace(guest, seed=7).items, trace(guest).items).any()


def test_only_root_sees_the_sample_in_the_guest(guest):
    guest.output(TRACE)
    listed = guest.output("stat -c '%a %u' /run/membuddies /run/membuddies/sample")
    assert listed == b"700 0\n600 0\n"
    guest.output(f"{traces.TRACER} --remove")
    assert guest.status("[ -e /run/membuddies/sample ]") == 1


def test_what_a_killed_trace_left_is_taken_over(guest):
    guest.output(f"{LOAD} seed=9 shift=60")
    guest.output("touch /run/membuddies/sample /run/membuddies/sample.new")
    assert len(trace(guest).items) > 50


def test_a_second_trace_at_once_is_turned_away(guest):
    output = guest.output(
        f"{traces.TRACER} --all-pages 0 60 & until grep -q membuddies /proc/modules;"
        f" do :; done; {TRACE}; echo second $?; wait $!; echo first $?"
    )
    assert b"second 5" in output
    assert b"first 0" in output
    guest.output(f"{traces.TRACER} --remove")


@pytest.mark.parametrize("signal", ["TERM", "ALRM"])
def test_a_trace_that_is_interrupted_removes_its_module(guest, signal):
    """ALRM is what it sends itself when its time is over."""
    output = guest.output(
        f"{traces.TRACER} --all-pages 0 60 & until grep -q membuddies /proc/modules;"
        f" do :; done; kill -{signal} $!; wait $!; echo status $?"
    )
    assert b"/dev/membuddies: interrupted\nstatus 1\n" in output
    assert guest.status("grep membuddies /proc/modules") == 1
    assert guest.output("ls -A /run/membuddies") == b"lock\n"


def test_a_module_that_somebody_else_uses_stays_with_him(guest):
    guest.output(LOAD)
    assert guest.status(f"exec 3< /dev/membuddies; {TRACE}") == 4
    guest.output("rmmod membuddies")


@pytest.mark.parametrize(
    "arguments",
    ["", "0", "x 1", "-1 1", "18446744073709551616 1", "0 86401", "--all 0 1", "1 1 1"],
)
def test_a_wrong_call_of_the_tracer_is_told_how(guest, arguments):
    output = guest.output(f"{traces.TRACER} {arguments}; echo status $?").decode()
    assert "usage: membuddies-trace [--all-pages] SEED SECONDS" in output
    assert output.endswith("status 2\n")


def test_all_pages_counts_the_free_ones_too(guest):
    used = trace(guest).counters.resident_pages
    guest.output(f"{traces.TRACER} --all-pages 0 60")
    content = guest.content(traces.SAMPLE)
    memory_pages = MEMORY_BYTES // 4096
    every = traces.decode(content, seed=0, memory_pages=memory_pages)
    assert used < 0.9 * every.counters.resident_pages


@pytest.mark.parametrize("guest", ["6.12"], indirect=True)
def test_a_large_file_of_a_guest_is_read_in_pieces_of_at_most_a_mib(guest):
    guest.output("dd if=/dev/urandom of=/tmp/large bs=1000000 count=3")
    digest = guest.output("sha256sum /tmp/large").split()[0].decode()
    counts = []
    with guest_agent_of(guest.write_uri, guest.uuid) as carry:

        def counting(command: str) -> str:
            if (question := json.loads(command))["execute"] == "guest-file-read":
                counts.append(question["arguments"]["count"])
            return carry(command)

        agent = GuestAgent(counting, threading.Event())
        content = agent.read("/tmp/large", 3_000_000)
        assert hashlib.sha256(content).hexdigest() == digest
        assert len(counts) >= 3
        assert max(counts) == 1 << 20
        with pytest.raises(NoFingerprint) as raised:
            agent.read("/tmp/large", 2_999_999)
    assert raised.value.reason is Reason.TRACE_IMPLAUSIBLE
    guest.output("rm /tmp/large")


def give(guest, path: str, content: bytes) -> None:
    """Write a file in the guest."""
    text = base64.b64encode(content).decode()
    guest.output("rm -f /tmp/text")
    for at in range(0, len(text), 65536):
        guest.output(f"echo {text[at : at + 65536]} >> /tmp/text")
    guest.output(f"mkdir -p $(dirname {path}) && base64 -d /tmp/text > {path}")


def test_a_module_for_another_kernel_is_refused(guest, kernels, packed):
    """Its name for the kernel is right, what is in it is not."""
    release = guest.output("uname -r").decode().strip()
    (other,) = {kernel.release for kernel in kernels.values()} - {release}
    module = packed[f"/usr/lib/membuddies/{other}/membuddies.ko"].read_bytes()
    give(guest, f"/lib/modules/{release}/extra/membuddies.ko", module)
    assert refusal(guest) is Reason.MODULE_REFUSED
    guest.output(f"rm -r /lib/modules/{release}/extra")
    assert len(trace(guest).items) > 50


@pytest.mark.parametrize("guest", ["6.12"], indirect=True)
def test_a_module_that_dkms_compressed_is_loaded(guest, kernels, packed):
    """Debian compresses modules since 6.12."""
    release = kernels["6.12"].release
    module = packed[f"/usr/lib/membuddies/{release}/membuddies.ko"].read_bytes()
    compressed = lzma.compress(module, check=lzma.CHECK_CRC32)
    give(guest, f"/lib/modules/{release}/updates/dkms/membuddies.ko.xz", compressed)
    # That this one is taken shows when there is no other.
    guest.output("mv /usr/lib/membuddies /usr/lib/aside")
    assert len(trace(guest).items) > 50
    guest.output("mv /usr/lib/aside /usr/lib/membuddies; rm -r /lib/modules")


def test_what_a_guest_lacks_or_does_not_allow_is_a_reason(booted):
    guest = booted("locked")
    assert refusal(guest) is Reason.MODULE_REFUSED
    assert b"membuddies-trace: the kernel refuses the module" in guest.output("dmesg")
    # A guest without a module for its kernel, and one without the tracer.
    guest.output("rm -r /usr/lib/membuddies")
    assert refusal(guest) is Reason.TRACER_MISSING
    guest.output(f"rm {traces.TRACER}")
    assert refusal(guest) is Reason.TRACER_MISSING
    # One whose agent may run nothing; this one can never again.
    guest.output("echo guest-exec > /run/block; (sleep 0.5; killall qemu-ga) &")
    while refusal(guest) is Reason.TRACER_MISSING:
        pass
    guest.await_boot()
    assert refusal(guest) is Reason.GUEST_EXEC_BLOCKED


@pytest.mark.parametrize("channel", ["", guests.CHANNEL], ids=["none", "silent"])
def test_a_guest_without_an_agent_is_a_reason(daemon, channel):
    """With a channel and nobody at its end, and without a channel."""
    uuid = UUID + ("02" if channel else "01")
    daemon.create(domain_xml(uuid, more=channel))
    assert refusal(guests.Guest(daemon, uuid)) is Reason.GUEST_AGENT_SILENT
    daemon.virsh("destroy", uuid)


def test_a_guest_that_is_gone_is_a_reason(daemon):
    assert refusal(guests.Guest(daemon, UUID + "03")) is Reason.GONE


def test_a_connection_that_may_not_write_is_a_reason(daemon):
    with (
        pytest.raises(NoFingerprint) as raised,
        guest_agent_of("qemu+unix:///system?socket=/nowhere", UUID + "04"),
    ):
        pass
    assert raised.value.reason is Reason.LIBVIRT_REFUSED


@pytest.fixture(scope="module")
def hostile(booted):
    """A guest whose tracer is not ours, while these tests last."""
    guest = booted("6.12")
    guest.output(f"mv {traces.TRACER} /usr/sbin/aside")
    give(guest, traces.TRACER, HOSTILE_TRACER.read_bytes())
    guest.output(f"chmod 755 {traces.TRACER}")
    yield guest
    guest.output(f"mv /usr/sbin/aside {traces.TRACER}")


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("huge", Reason.TRACE_IMPLAUSIBLE),
        ("endless", Reason.TRACE_IMPLAUSIBLE),
        ("garbage", Reason.TRACE_IMPLAUSIBLE),
        ("nothing", Reason.TRACE_FAILED),
        ("never", Reason.TRACE_FAILED),
        ("talkative", Reason.TRACE_FAILED),
        ("killed", Reason.TRACE_FAILED),
        ("exit=1", Reason.TRACE_FAILED),
        ("exit=3", Reason.TRACER_MISSING),
        ("exit=255", Reason.TRACE_FAILED),
    ],
)
def test_what_a_hostile_guest_answers_is_a_reason(
    hostile, monkeypatch, behaviour, reason
):
    monkeypatch.setattr(traces, "_GRACE_SECONDS", 0.0)
    hostile.output(f"echo {behaviour} > /run/behaviour")
    # Who does not end is not waited for.
    patience = 2.0 if behaviour in ("never", "talkative") else 60.0
    assert refusal(hostile, timeout_seconds=patience) is reason
    hostile.output("killall sleep yes; true")


def given(hostile, *items: int) -> None:
    """Have the guest answer with these ids, at shift 6."""
    head = traces._HEAD.pack(traces._MAGIC, 0, 100, 0, 0, 6, len(items))
    body = head + np.array(items, dtype="<u8").tobytes()
    text = base64.b64encode(body).decode()
    hostile.output(f"echo given > /run/behaviour; echo {text} | base64 -d > /run/given")


def test_ids_that_are_not_sorted_are_a_reason(hostile):
    given(hostile, 5, 9)
    assert list(trace(hostile).items) == [5, 9]
    given(hostile, 9, 5)
    assert refusal(hostile) is Reason.TRACE_IMPLAUSIBLE
    given(hostile, 5, 5)
    assert refusal(hostile) is Reason.TRACE_IMPLAUSIBLE


def test_an_agent_that_is_stopped_does_not_wait_for_a_guest(hostile):
    hostile.output("echo never > /run/behaviour")
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    started = time.monotonic()
    with pytest.raises(ScanInterrupted):
        trace(hostile, timeout_seconds=600.0, stop=stop)
    assert time.monotonic() - started < 300
    hostile.output("killall sleep; true")
