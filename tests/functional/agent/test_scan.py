# SPDX-License-Identifier: Apache-2.0
"""Scans of real processes: what they find, and that they change nothing.

Each by the compiled reader and by the one in Python.
"""

import dataclasses
import os
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest

import membuddies_agent.scan
from membuddies_agent import compiled, memory, pagemap, procfs, stretch
from membuddies_agent.errors import NoFingerprint, ScanInterrupted
from membuddies_agent.scan import scan
from membuddies_nova.facts import Reason
from membuddies_nova.fingerprint import page
from tests.functional.agent import processes, swap
from tests.functional.agent.false_pagemap import EXCLUSIVE, PRESENT, pagemap_says
from tests.functional.agent.processes import sorted_ids, written_ids


@pytest.fixture(
    params=[compiled.CompiledReader, stretch.PythonReader],
    ids=["compiled", "python"],
    autouse=True,
)
def reader(request, monkeypatch):
    monkeypatch.setattr(membuddies_agent.scan, "READER", request.param)
    return request.param


@pytest.fixture
def small_stretches(monkeypatch):
    """A look at whether to stop after every block."""
    block_bytes = memory.BLOCK_PAGES * page.PAGE_SIZE
    monkeypatch.setattr(membuddies_agent.scan, "STRETCH_BYTES", block_bytes)


def zero_ids(pages: int) -> page.Ids:
    return np.full(pages, page.zero_page_id(), dtype=np.uint64)


def test_the_ids_are_those_of_the_known_content():
    with processes.child(
        1000, write=[[0, 300, 1], [300, 150, 2], [500, 150, 2]], touch=[[700, 40]]
    ) as child:
        found = scan(child.process)
    expected = sorted_ids(
        written_ids(1, 300), written_ids(2, 150), written_ids(2, 150), zero_ids(40)
    )
    assert sorted(found.ids.tolist()) == expected
    counters = found.sample().counters
    assert counters.resident_pages == 640
    assert counters.unique_pages == 450
    assert counters.zero_pages == counters.kernel_zero_pages == 40
    assert counters.self_shared_pages == 150


def test_the_sample_equals_that_of_the_page_list():
    with processes.child(4096, write=[[0, 4096, 7]]) as child:
        found = scan(child.process)
    sample = found.sample()
    ids = written_ids(7, 4096)
    assert sample.shift == 6
    assert sample.items.tolist() == sorted(ids[ids < 2**58].tolist())
    assert found.sample(0).items.tolist() == sorted(ids.tolist())


def test_the_seed_changes_every_id():
    with processes.child(64, write=[[0, 64, 1]]) as child:
        bare = scan(child.process).ids
        seeded = scan(child.process, seed=12345).ids
    assert not np.isin(seeded, bare).any()


def test_only_mergeable_mappings_are_read():
    with (
        processes.child(64, write=[[0, 64, 1]], advice=[]) as child,
        pytest.raises(NoFingerprint) as raised,
    ):
        scan(child.process)
    assert raised.value.reason is Reason.NOT_MERGEABLE
    assert str(raised.value) == (
        "no mapping is mergeable: mem-merge=off, huge pages or nosharepages"
    )


def test_the_kernels_huge_zero_page_is_counted_and_not_read():
    with processes.child(
        2048,
        advice=[processes.HUGE_PAGE, processes.MERGEABLE],
        touch=[[0, 2048]],
    ) as child:
        frames = pagemap.frames(child.entries())
        found = scan(child.process)
    assert len(np.unique(frames)) >= 512, "the kernel mapped no huge zero page"
    assert found.kernel_zero_pages == len(found.ids) == 2048


@pytest.mark.usefixtures("small_stretches")
def test_a_process_that_ends_in_mid_scan_is_gone():
    blocks = []
    with processes.child(640, write=[[0, 640, 1]]) as child:

        def kill_at_the_third_block(done_bytes, all_bytes):
            blocks.append(done_bytes)
            if len(blocks) == 3:
                child.kill()

        with pytest.raises(NoFingerprint) as raised:
            scan(child.process, progress=kill_at_the_third_block)
    assert raised.value.reason is Reason.GONE
    assert len(blocks) == 3


@pytest.mark.usefixtures("small_stretches")
@pytest.mark.parametrize("bits", [PRESENT, PRESENT | EXCLUSIVE])
def test_a_process_that_ends_between_pagemap_and_read_is_gone(bits):
    with (
        processes.child(640, write=[[0, 640, 1]]) as child,
        pagemap_says(child, np.full(640, bits, dtype=np.uint64)),
        pytest.raises(NoFingerprint) as raised,
    ):
        scan(child.process, progress=lambda done_bytes, all_bytes: child.kill())
    assert raised.value.reason is Reason.GONE
    assert str(raised.value) == f"process {child.process.pid} has ended"


@pytest.mark.usefixtures("small_stretches")
def test_a_mapping_that_vanishes_in_mid_scan_is_left_out():
    blocks = []
    with processes.child(640, write=[[0, 640, 1]]) as child:

        def unmap_at_the_second_block(done_bytes, all_bytes):
            blocks.append(done_bytes)
            if len(blocks) == 2:
                child.order(unmap=[[128, 256]])

        found = scan(child.process, progress=unmap_at_the_second_block)
    ids = written_ids(1, 640)
    assert sorted(found.ids.tolist()) == sorted_ids(ids[:128], ids[384:])


@pytest.mark.usefixtures("small_stretches")
def test_what_takes_the_place_of_a_mapping_in_mid_scan_is_not_read(monkeypatch):
    monkeypatch.setattr(membuddies_agent.scan, "LOOK_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(membuddies_agent.scan, "LOOK_AGAIN_COSTS", 0.0)
    blocks = []
    with processes.child(640, write=[[0, 640, 1]]) as child:

        def replace_at_the_second_block(done_bytes, all_bytes):
            blocks.append(done_bytes)
            if len(blocks) == 2:
                child.order(replace=[[160, 200]])

        found = scan(child.process, progress=replace_at_the_second_block)
    ids = written_ids(1, 640)
    assert sorted(found.ids.tolist()) == sorted_ids(ids[:160], ids[360:])


def test_a_pid_that_is_reused_in_mid_scan_gives_nothing(reader):
    """In a pid namespace of its own, where nobody else starts processes."""
    program = pathlib.Path(__file__).with_name("reused_pid.py")
    done = subprocess.run(
        [
            *("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *(sys.executable, "-W", "ignore", str(program), reader.__name__),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "reused\ngone\n"


def test_a_reused_pid_is_another_process():
    with processes.child(64, write=[[0, 64, 1]]) as child:
        earlier = dataclasses.replace(
            child.process, start_ticks=child.process.start_ticks - 1
        )
        with pytest.raises(NoFingerprint) as raised:
            scan(earlier)
    assert raised.value.reason is Reason.GONE


def test_a_process_that_has_ended_but_whose_pid_stands_is_gone():
    with processes.child(64, write=[[0, 64, 1]]) as child:
        child.popen.kill()
        # Nobody has waited for it: a zombie, which keeps pid and start time.
        os.waitid(os.P_PID, child.popen.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(NoFingerprint) as raised:
            scan(child.process)
    assert raised.value.reason is Reason.GONE


def test_a_pid_that_nobody_has_is_gone():
    with processes.child(1) as child:
        pass
    with pytest.raises(NoFingerprint) as raised:
        scan(child.process)
    assert raised.value.reason is Reason.GONE


def test_a_scan_is_given_up_when_the_agent_stops():
    stop = threading.Event()
    stop.set()
    with (
        processes.child(64, write=[[0, 64, 1]]) as child,
        pytest.raises(ScanInterrupted),
    ):
        scan(child.process, stop=stop)


def test_a_lack_of_capability_is_named():
    program = (
        "import sys\n"
        "from membuddies_agent import procfs, scan, errors\n"
        "try:\n"
        "    scan.scan(procfs.process(int(sys.argv[1])))\n"
        "except errors.NoFingerprint as error:\n"
        "    print(error.reason, error)\n"
    )
    with processes.child(64, write=[[0, 64, 1]]) as child:
        done = subprocess.run(
            [
                *("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"),
                *(sys.executable, "-c", program, str(child.process.pid)),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
    assert done.stdout.startswith("unreadable /proc/")
    assert "the agent lacks CAP_SYS_PTRACE;" in done.stdout
    assert done.stdout.count("\n") == 1


@pytest.fixture(scope="module")
def swap_file(tmp_path_factory):
    with swap.file(tmp_path_factory.mktemp("swap") / "file", 64):
        yield


HALF_ABSENT = {
    "write": [[0, 2048, 1], [2048, 2048, 2]],
    "pageout": [[2048, 2048]],
}


def states(child: processes.Child) -> np.ndarray:
    entries = child.entries()
    return pagemap.present(entries) + 2 * pagemap.swapped(entries)


@pytest.mark.usefixtures("swap_file")
def test_a_scan_allocates_no_page_and_swaps_none_in():
    with processes.child(8192, **HALF_ABSENT) as child:
        before = states(child)
        found = scan(child.process)
        after = states(child)
    assert np.count_nonzero(before == 0) == 4096, "half was never touched"
    assert np.count_nonzero(before == 2) >= 1024, "part is paged out"
    assert (before == after).all()
    assert len(found.ids) == np.count_nonzero(before == 1)


@pytest.mark.usefixtures("swap_file")
def test_without_the_filter_the_same_scan_would_show():
    with processes.child(8192, **HALF_ABSENT) as child:
        before = states(child)
        with pagemap_says(child, child.entries() | np.uint64(PRESENT)):
            scan(child.process)
        after = states(child)
    assert np.count_nonzero(before != after) >= 4096


def test_a_qemu_guest_is_found_by_its_uuid_and_read():
    uuid = "6f0c2f3e-0000-4000-8000-00000000000a"
    with processes.qemu("-S", uuid=uuid) as process:
        assert procfs.qemu_processes()[uuid] == process
        found = scan(process)
    assert found.mergeable_bytes >= 64 << 20
    assert 0 < len(found.ids) < 64 << 8


def test_a_qemu_in_another_pid_namespace_is_another_hosts():
    uuid = "6f0c2f3e-0000-4000-8000-00000000000b"
    popen = subprocess.Popen(
        [
            *("unshare", "--pid", "--fork", "--kill-child", "qemu-system-x86_64"),
            *("-display", "none", "-nodefaults", "-S", "-uuid", uuid),
        ]
    )
    try:
        assert wait_for_uuid(uuid)
        assert uuid not in procfs.qemu_processes()
    finally:
        popen.kill()
        popen.wait()


def wait_for_uuid(uuid: str) -> bool:
    event = threading.Event()
    for _ in range(600):
        for entry in procfs.PROC.glob("[0-9]*/cmdline"):
            try:
                command = entry.read_bytes()
            except OSError:
                continue
            if command.startswith(b"qemu-system") and uuid.encode() in command:
                return True
        event.wait(0.05)
    return False


@pytest.mark.parametrize(
    ("arguments", "machine", "reason"),
    [
        ([], "pc,mem-merge=off", Reason.NOT_MERGEABLE),
        (
            ["-object", "memory-backend-memfd,id=ram,size=64M,share=on"],
            "pc,memory-backend=ram",
            Reason.SHARED_MEMORY,
        ),
    ],
)
def test_a_qemu_whose_memory_does_not_merge_has_a_reason(arguments, machine, reason):
    with (
        processes.qemu(*arguments, machine=machine) as process,
        pytest.raises(NoFingerprint) as raised,
    ):
        scan(process)
    assert raised.value.reason is reason


def test_a_qemu_on_huge_pages_has_a_reason(huge_pages):
    with (
        processes.qemu(
            "-object",
            "memory-backend-memfd,id=ram,size=64M,share=off,hugetlb=on",
            machine="pc,memory-backend=ram",
        ) as process,
        pytest.raises(NoFingerprint) as raised,
    ):
        scan(process)
    assert raised.value.reason is Reason.HUGE_PAGES


def test_merged_pages_stay_merged_whoever_holds_them(borrowed_ksm):
    with (
        processes.child(4096, write=[[0, 2048, 1], [2048, 1024, 2]]) as left,
        processes.child(4096, write=[[0, 2048, 1], [2048, 1024, 3]]) as right,
    ):
        borrowed_ksm.merge(2048, left, right)
        before = [borrowed_ksm.merged(child) for child in (left, right)]
        assert [np.count_nonzero(merged) for merged in before] == [2048, 2048]
        for _ in range(10):
            found = [scan(child.process) for child in (left, right)]
        assert [one.ksm_merging_pages for one in found] == [2048, 2048]
        after = [borrowed_ksm.merged(child) for child in (left, right)]
        assert (before[0] == after[0]).all()
        assert (before[1] == after[1]).all()

        # Now the left one maps each merged page alone, and KSM still owns it.
        right.kill()
        assert pagemap.exclusive(left.entries())[before[0]].all()
        scan(left.process)
        assert (borrowed_ksm.merged(left) == before[0]).all()


def test_pinning_would_have_unmerged_them(borrowed_ksm, monkeypatch):
    monkeypatch.setattr("membuddies_agent.scan._ksm_counts", lambda files: (0, 0))
    with (
        processes.child(1024, write=[[0, 1024, 11]]) as left,
        processes.child(1024, write=[[0, 1024, 11]]) as right,
    ):
        borrowed_ksm.merge(1024, left, right)
        before = borrowed_ksm.merged(left)
        assert np.count_nonzero(before) == 1024
        with pagemap_says(left, left.entries() | np.uint64(EXCLUSIVE)):
            scan(left.process)
        assert not borrowed_ksm.merged(left).any()
