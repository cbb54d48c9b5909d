# SPDX-License-Identifier: Apache-2.0
"""``membuddies fingerprint`` on real processes and a real libvirt's guests."""

import argparse
import stat

import numpy as np
import pytest

from membuddies_agent.errors import NoFingerprint
from membuddies_nova import exceptions
from membuddies_nova.cli.fingerprint import Fingerprint
from membuddies_nova.facts import Reason
from membuddies_nova.fingerprint import codec, seal
from tests.functional.agent import libvirt_daemon, processes
from tests.functional.agent.processes import written_ids

UUID = "6f0c2f3e-0000-4000-8000-00000000f001"


def answer(*arguments: object) -> dict:
    command = Fingerprint(argparse.Namespace(), None)
    parser = command.get_parser("fingerprint")
    return dict(command.answer(parser.parse_args([str(each) for each in arguments])))


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"
    path.write_text("ab" * 32)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def child():
    with processes.child(2000, write=[[0, 1000, 1]], touch=[[1000, 10]]) as one:
        yield one


def test_a_processs_pages_are_counted(child):
    found = answer("--pid", child.process.pid)
    assert found["pages"] == 1010
    assert found["unique_pages"] == 1000
    assert found["zero_pages"] == 10
    assert found["mergeable_bytes"] == 2000 * 4096
    assert found["present_bytes"] == 1010 * 4096
    assert found["items"] == np.count_nonzero(written_ids(1, 1000) < 2**58)
    assert found["wire_bytes"] > 80
    assert 0 < found["copy_fraction"] < 1
    assert found["reason"] is None


def test_the_page_list_that_is_written_holds_every_page(child, tmp_path):
    file = tmp_path / "guest.npy"
    answer("--pid", child.process.pid, "--out", file)
    ids = np.load(file)
    assert ids.dtype == np.uint64
    assert ids.shape == (1010,)
    assert np.isin(written_ids(1, 1000), ids).all()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("options", "shift"),
    [([], 6), (["--shift", 3], 3), (["--format", "list"], 0)],
)
def test_the_fingerprint_that_is_written_decodes(
    child, tmp_path, key_file, options, shift
):
    file = tmp_path / "guest.mbf"
    found = answer(
        *("--pid", child.process.pid, "--out", file, "--key-file", key_file), *options
    )
    body = file.read_bytes()
    sample = codec.decode(body)
    assert sample.shift == shift
    assert sample.counters.unique_pages == 1000
    assert len(sample.items) == found["items"]
    assert len(body) == found["wire_bytes"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_bloom_filter_holds_every_page(child):
    found = answer("--pid", child.process.pid, "--format", "bloom", "--shift", 9)
    assert found["items"] == 1000
    # 12.9 bits for each page at 0.2 % false positives, up to a power of two, and
    # the header with the checksum
    assert found["wire_bytes"] == 2**14 // 8 + 88


def test_the_bloom_filter_that_is_written_is_sealed_and_decodes(
    child, tmp_path, key_file
):
    file = tmp_path / "guest.mbf"
    found = answer(
        *("--pid", child.process.pid, "--format", "bloom"),
        *("--out", file, "--key-file", key_file),
    )
    value = codec.decode_any(file.read_bytes())
    assert value.format == "bloom"
    assert value.key_id == seal.KeyRing.from_file(key_file).first.key_id
    assert value.unique_pages == 1000
    assert file.stat().st_size == found["wire_bytes"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_size_is_the_same_without_a_key(child, key_file):
    sealed = answer("--pid", child.process.pid, "--key-file", key_file)
    assert answer("--pid", child.process.pid)["wire_bytes"] == sealed["wire_bytes"]


def test_a_process_without_mergeable_memory_gets_a_reason():
    with processes.child(16, advice=[], write=[[0, 16, 1]]) as plain:
        found = answer("--pid", plain.process.pid)
    assert found["reason"] == (
        "no mapping is mergeable: mem-merge=off, huge pages or nosharepages"
    )
    assert found["pages"] == found["items"] == found["wire_bytes"] == 0


def test_no_file_is_written_for_a_process_without_mergeable_memory(tmp_path):
    file = tmp_path / "guest.npy"
    with (
        processes.child(16, advice=[]) as plain,
        pytest.raises(NoFingerprint),
    ):
        answer("--pid", plain.process.pid, "--out", file)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--pid", 4194000], "there is no process 4194000"),
        (["--pid", 1, "--out", "a.txt"], "ends in .npy or .mbf"),
        (["--pid", 1, "--out", "a.mbf"], "--key-file"),
        (["--pid", 1, "--format", "bloom", "--out", "a.mbf"], "--key-file"),
    ],
)
def test_a_wrong_call_says_what_is_allowed(arguments, words):
    with pytest.raises(exceptions.InputError, match=words) as raised:
        answer(*arguments)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda key: key.unlink(), "No such file.*openssl rand -hex 32"),
        (lambda key: key.chmod(0o640), "mode is 0640.*chmod 0600"),
        (lambda key: key.write_text("ab" * 31), "32 to 64 bytes, this one has 31"),
    ],
)
def test_a_key_file_that_is_missing_unsafe_or_short_is_named(
    child, tmp_path, key_file, spoil, words
):
    spoil(key_file)
    file = tmp_path / "guest.mbf"
    with pytest.raises(exceptions.ConfigurationError, match=words) as raised:
        answer("--pid", child.process.pid, "--out", file, "--key-file", key_file)
    assert str(key_file) in str(raised.value)
    assert not file.exists()


def test_a_folder_that_is_missing_is_named(child, tmp_path):
    with pytest.raises(exceptions.InputError, match="No such file or directory"):
        answer("--pid", child.process.pid, "--out", tmp_path / "none" / "a.npy")


def test_a_guest_is_found_by_name_and_by_uuid(libvirt, key_file):
    libvirt.create(libvirt_daemon.domain_xml(UUID))
    for name in (UUID, f"instance-{UUID[-8:]}"):
        found = answer("--domain", name, "--libvirt-uri", libvirt.uri)
        assert found["mergeable_bytes"] >= 64 << 20
        assert found["pages"] > 0
        assert found["reason"] is None


def test_a_guest_that_libvirt_does_not_know_is_named(libvirt):
    with pytest.raises(exceptions.InputError, match="no domain of that name or uuid"):
        answer("--domain", "nobody", "--libvirt-uri", libvirt.uri)


def test_a_guest_on_shared_memory_gets_a_reason(libvirt):
    uuid = UUID[:-1] + "2"
    libvirt.create(
        libvirt_daemon.domain_xml(
            uuid,
            backing='<memoryBacking><source type="memfd"/><access mode="shared"/>'
            "</memoryBacking>",
        )
    )
    found = answer("--domain", uuid, "--libvirt-uri", libvirt.uri)
    assert found["reason"] == Reason.SHARED_MEMORY.sentence
    assert found["pages"] == 0


def test_the_report_is_readable(child):
    command = Fingerprint(argparse.Namespace(), None)
    text = command.rendered(answer("--pid", child.process.pid))
    assert "unique pages         1000  3.9" in text
    assert "scanned in" in text
    assert command.rendered({"reason": "it is so"}) == "Nothing to merge: it is so"
