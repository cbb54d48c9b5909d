# SPDX-License-Identifier: Apache-2.0
"""The kernel module in real guests, with Debian's own kernels."""

import subprocess
import time

import numpy as np
import pytest

from membuddies_nova.fingerprint import page
from tests.kmod import stream
from tests.kmod.conftest import page_of
from tests.kmod.guest import MEMORY_MB

LOAD = "insmod /usr/lib/membuddies/$(uname -r)/membuddies.ko"
DEVICE = "/dev/membuddies"
MEMORY_PAGES = MEMORY_MB * 256
BLOCKS = "/sys/devices/system/memory/memory*/state"


def stream_of(guest, *parameters: str) -> bytes:
    """Load the module, walk once, and remove it."""
    return guest.output(
        f"{LOAD} {' '.join(parameters)} && cat {DEVICE}; rmmod membuddies"
    )


def walk(guest, *parameters: str) -> stream.Walk:
    return stream.parse(stream_of(guest, *parameters))


def held_page(kind: int) -> bytes:
    """A page of programs/hold.c."""
    return (0x6D656D6275640000 + kind).to_bytes(8, "little") * 512


@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_a_page_has_the_id_that_the_host_gives_it_as_often_as_it_is_held(guest, seed):
    found = walk(guest, "shift=0", f"seed={seed}")
    assert [found.count(page_of(number), seed) for number in range(8)] == [2] * 8
    assert found.count(b"\1" * 4096, seed) == 0


def test_zero_pages_are_counted_and_have_no_id(guest):
    guest.output("dd if=/dev/zero of=/zeros bs=4096 count=2000")
    found = walk(guest, "shift=0")
    guest.output("rm /zeros")
    assert found.zero_pages >= 2000
    assert found.count(bytes(4096)) == 0
    assert found.pages == found.zero_pages + len(found.ids)


def test_free_pages_are_read_only_if_all_are_asked_for(guest):
    every = walk(guest, "all_pages=1", "shift=63")
    used = walk(guest, "shift=63")
    lines = guest.output("cat /proc/meminfo").decode().splitlines()
    (free_kb,) = [int(line.split()[1]) for line in lines if "MemFree" in line]
    assert every.pages == pytest.approx(MEMORY_PAGES, rel=0.03)
    assert every.pages - used.pages == pytest.approx(free_kb / 4, rel=0.1)


def test_a_shift_keeps_the_ids_with_so_many_leading_zero_bits(guest):
    everything = walk(guest, "shift=0").ids
    sampled = walk(guest, "shift=6").ids
    assert len(sampled) > 50
    assert int(page.levels(sampled).min()) >= 6
    # A few pages change between the two walks.
    assert np.isin(sampled, everything).mean() > 0.9
    wanted = np.unique(everything[page.levels(everything) >= 6])
    assert np.isin(wanted, sampled).mean() > 0.9


def hold(guest, kinds: str) -> stream.Walk:
    """What is found while programs/hold.c holds pages."""
    guest.output(
        f"rm -f /run/held; timeout 60 hold {kinds} &"
        " timeout 30 sh -c 'until [ -e /run/held ]; do sleep 0.1; done'"
    )
    found = walk(guest, "shift=0")
    guest.output("killall hold")
    return found


def test_secret_pages_are_skipped(guest):
    before = walk(guest, "shift=63").skipped_pages
    found = hold(guest, "plain secret")
    assert found.count(held_page(1)) == 1
    assert found.count(held_page(2)) == 0
    assert found.skipped_pages == before + 1
    # What was secret is memory again.
    assert walk(guest, "shift=63").skipped_pages == before


@pytest.mark.parametrize("guest", ["6.12"], indirect=True)
def test_broken_pages_are_skipped(guest):
    """There are none in Debian's cloud kernel 6.1: it lacks CONFIG_MEMORY_FAILURE.

    That kernel has neither MADV_HWPOISON, soft offlining nor hwpoison-inject, and the
    module's check is compiled to nothing. Debian's larger kernel 6.1 has them.
    """
    before = walk(guest, "shift=63").skipped_pages
    found = hold(guest, "plain broken")
    assert found.count(held_page(1)) == 1
    assert found.count(held_page(3)) == 0
    assert found.skipped_pages == before + 1


def test_ballooned_pages_are_skipped_and_come_back(guest):
    before = walk(guest, "shift=63").skipped_pages
    guest.daemon.virsh("setmem", guest.uuid, f"{(MEMORY_MB - 10) << 10}", "--live")
    await_skipped(guest, before + 10 * 256)
    guest.daemon.virsh("setmem", guest.uuid, f"{MEMORY_MB << 10}", "--live")
    await_skipped(guest, before)


def await_skipped(guest, pages: int) -> None:
    deadline = time.monotonic() + 60
    while (skipped := walk(guest, "shift=63").skipped_pages) != pages:
        assert time.monotonic() < deadline, f"{skipped} pages are skipped"


def test_plugged_memory_counts_from_when_it_is_online(guest, tmp_path):
    before = walk(guest, "shift=63", "all_pages=1")
    dimm = tmp_path / "dimm.xml"
    dimm.write_text(
        '<memory model="dimm"><target><size unit="MiB">128</size><node>0</node>'
        "</target></memory>"
    )
    guest.daemon.virsh("attach-device", guest.uuid, str(dimm), "--live")
    guest.output(
        f"timeout 30 sh -c 'until grep -l offline {BLOCKS}; do sleep 0.1; done'"
    )
    offline = walk(guest, "shift=63", "all_pages=1")
    assert abs(offline.pages - before.pages) < 256
    guest.output(f"for at in $(grep -l offline {BLOCKS}); do echo online > $at; done")
    online = walk(guest, "shift=63", "all_pages=1")
    assert online.pages - offline.pages == pytest.approx(128 * 256, rel=0.01)


def test_no_page_content_leaves_the_module(guest):
    found = stream_of(guest, "shift=0")
    assert page_of(1)[:16] not in found
    assert b"ELF" not in found


def test_only_root_may_read(guest):
    guest.output("mkdir /etc; echo nobody::65534:65534:::/applets/sh > /etc/passwd")
    guest.output(LOAD)
    try:
        assert guest.output(f"stat -c '%a %u' {DEVICE}") == b"400 0\n"
        assert guest.status(f"su nobody -c 'cat {DEVICE}'") != 0
        # Not even where somebody has opened the door.
        guest.output(f"chmod 444 {DEVICE}")
        assert guest.output("su nobody -c 'id -u'") == b"65534\n"
        assert guest.status(f"su nobody -c 'cat {DEVICE}'") != 0
        guest.output(f"cat {DEVICE} > /dev/null")
    finally:
        guest.output("rmmod membuddies")


def test_the_module_stays_while_a_reader_has_the_device_open(guest):
    guest.output(
        f"{LOAD} && exec 3< {DEVICE} && dd bs=4096 count=1 <&3 > /tmp/first"
        " && ! rmmod membuddies && cat <&3 > /tmp/rest && exec 3<&- && rmmod membuddies"
    )
    first = stream.parse(guest.content("/tmp/first"))
    rest = stream.parse(guest.content("/tmp/rest"))
    assert first.blocks == 1
    assert first.pages + rest.pages > 10_000


def test_there_is_one_reader_at_a_time(guest):
    guest.output(
        f"{LOAD} && exec 3< {DEVICE} && ! cat {DEVICE} && exec 3<&-"
        f" && cat {DEVICE} > /dev/null && rmmod membuddies"
    )


def test_a_buffer_that_is_smaller_than_a_block_is_refused(guest):
    guest.output(f"{LOAD} && ! dd if={DEVICE} bs=4095 count=1 && rmmod membuddies")


def test_a_walk_keeps_its_rate_and_ends_at_once_on_a_signal(guest):
    """At 1 MB a second the first block is followed by seconds of sleep."""
    output = guest.output(
        f"{LOAD} rate_mb=1 all_pages=1; cat {DEVICE} > /tmp/slow & sleep 3;"
        " killall cat; wait $! 2>/dev/null; echo $?; rmmod membuddies"
    )
    assert output == b"143\n"
    assert stream.parse(guest.content("/tmp/slow")).blocks == 1


@pytest.mark.parametrize(
    "parameter",
    [
        *("shift=64", "shift=-1", "shift=x", "seed=18446744073709551616", "seed=-1"),
        *("rate_mb=0", "rate_mb=1048577", "all_pages=2"),
    ],
)
def test_a_parameter_out_of_range_is_refused(guest, parameter):
    guest.output(f"! {LOAD} {parameter} && ! grep membuddies /proc/modules")


def test_each_parameter_is_described(kernels, package):
    for kernel in kernels.values():
        text = subprocess.run(
            ["modinfo", "-F", "parm", kernel.module],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        names = {line.partition(":")[0] for line in text.splitlines()}
        assert names == {"seed", "shift", "rate_mb", "all_pages"}
        assert text.count("(default") == 4
