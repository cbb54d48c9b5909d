# SPDX-License-Identifier: Apache-2.0
import os

import pytest

from membuddies_agent import procfs
from membuddies_agent.errors import NoFingerprint
from membuddies_agent.procfs import Process
from membuddies_nova.facts import Reason

UUID = "0a1b2c3d-0000-4000-8000-000000000001"
STAT = "{pid} ({name}) S " + " ".join(str(number) for number in range(4, 53))


class Tree:
    """A recorded /proc."""

    def __init__(self, root):
        self.root = root
        self.add("self", "python")

    def add(self, pid, name, *arguments, namespace="pid:[4026531836]"):
        directory = self.root / str(pid)
        (directory / "ns").mkdir(parents=True)
        (directory / "ns" / "pid").symlink_to(namespace)
        (directory / "stat").write_text(STAT.format(pid=pid, name=name))
        (directory / "comm").write_text(f"{name}\n")
        (directory / "cmdline").write_bytes(
            b"".join(argument.encode() + b"\0" for argument in arguments)
        )


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


@pytest.mark.parametrize("name", ["qemu", "a b", "a) S 1 (b", "(sd-pam)"])
def test_the_start_time_is_read_whatever_the_process_is_called(tree, name):
    tree.add(4711, name)
    assert procfs.process(4711, tree.root) == Process(4711, 22)


def test_this_process_has_a_start_time():
    assert procfs.process(os.getpid()).start_ticks > 0


def test_qemus_are_found_by_the_uuid_on_their_command_line(tree):
    tree.add(1, "systemd", "/sbin/init")
    tree.add(2, "kthreadd")
    tree.add(10, "qemu", "/usr/bin/qemu-system-x86_64", "-uuid", UUID.upper(), "-S")
    tree.add(11, "virsh", "/usr/bin/virsh", "-uuid", UUID)
    tree.add(12, "qemu", "/usr/bin/qemu-system-x86_64", "-S")
    tree.add(13, "qemu", "/usr/bin/qemu-system-x86_64", "-uuid", "none")
    tree.add(14, "qemu", "/usr/bin/qemu-system-x86_64", "-uuid")
    assert procfs.qemu_processes(tree.root) == {UUID: Process(10, 22)}


def test_a_qemu_of_another_pid_namespace_is_left_out(tree):
    command = ("/usr/libexec/qemu-kvm", "-uuid", UUID)
    tree.add(10, "qemu", *command, namespace="pid:[4026532000]")
    assert procfs.qemu_processes(tree.root) == {}


def test_the_names_of_all_processes_are_told(tree):
    tree.add(1, "systemd")
    tree.add(2, "ksmtuned")
    assert sorted(procfs.command_names(tree.root)) == ["ksmtuned", "systemd"]


def test_a_process_that_is_missing_is_gone(tree):
    for attempt in (
        lambda: procfs.process(99, tree.root),
        lambda: procfs.ProcessFiles(Process(99, 1), tree.root),
    ):
        with pytest.raises(NoFingerprint) as raised:
            attempt()
        assert raised.value.reason is Reason.GONE


def test_a_later_process_with_the_same_pid_is_not_opened(tree):
    tree.add(10, "qemu")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NoFingerprint):
        procfs.ProcessFiles(Process(10, 21), tree.root)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_is_missing_means_that_the_process_is_gone(tree):
    tree.add(10, "qemu")
    with (
        procfs.ProcessFiles(Process(10, 22), tree.root) as files,
        pytest.raises(NoFingerprint) as raised,
    ):
        files.open("pagemap")
    assert raised.value.reason is Reason.GONE
