# SPDX-License-Identifier: Apache-2.0
"""`membuddies sharing`, run as an operator runs it."""

import itertools
import os
import pathlib
import pty
import subprocess

import numpy as np
import pytest

from membuddies_nova.cli.page_list import SUPERFASTHASH_ZERO_PAGE
from membuddies_nova.fingerprint.seal import SealKey
from tests.functional.cli.command import MEMBUDDIES, answer, refusal, run
from tests.functional.cli.page_files import (
    write_filter,
    write_fingerprint,
    write_list,
    write_scenario,
)

EXAMPLES = sorted((pathlib.Path(__file__).parents[3] / "examples").glob("*.npy"))


def test_lists_are_counted_to_the_page(tmp_path):
    a = write_list(tmp_path / "a.npy", [*range(100), *range(10)], zeros=5)
    b = write_list(tmp_path / "b.npy", range(50, 250))
    assert answer("sharing", "--format", "list", a, b) == {
        "format": "list",
        "shift": 0,
        "guests": [
            {
                "name": "a",
                "pages": 115,
                "unique_pages": 100,
                "zero_pages": 5,
                "self_shared_pages": 10,
            },
            {
                "name": "b",
                "pages": 200,
                "unique_pages": 200,
                "zero_pages": 0,
                "self_shared_pages": 0,
            },
        ],
        "pairs": [
            {
                "a": "a",
                "b": "b",
                "shared_pages": 50,
                "shared_mb": 0.195,
                "standard_error_pages": 0.0,
            }
        ],
        "union_pages": 250,
        "saved_pages": 50,
        "saved_fraction": 50 / 300,
    }


def test_a_sample_of_recorded_guests_agrees_with_the_count_of_all_pages():
    exact = answer("sharing", "--format", "list", *EXAMPLES)
    sampled = answer("sharing", *EXAMPLES)
    assert (sampled["format"], sampled["shift"]) == ("sample", 6)
    assert sampled["guests"] == exact["guests"]
    for pair, truth in zip(sampled["pairs"], exact["pairs"], strict=True):
        error = abs(pair["shared_pages"] - truth["shared_pages"])
        assert error <= 4 * pair["standard_error_pages"] + 64
    assert abs(sampled["union_pages"] / exact["union_pages"] - 1) < 0.03
    lists = [np.unique(np.load(path)) for path in EXAMPLES]
    for pair, (a, b) in zip(
        exact["pairs"], itertools.combinations(lists, 2), strict=True
    ):
        # The lists hold the zero page too, which is never shared here.
        assert pair["shared_pages"] == len(np.intersect1d(a, b)) - 1


def test_bloom_filters_of_recorded_guests_agree_with_the_count_of_all_pages():
    exact = answer("sharing", "--format", "list", *EXAMPLES)
    filtered = answer("sharing", "--format", "bloom", "--bloom-error", 0.01, *EXAMPLES)
    assert (filtered["format"], filtered["shift"]) == ("bloom", 0)
    assert filtered["guests"] == exact["guests"]
    for pair, truth in zip(filtered["pairs"], exact["pairs"], strict=True):
        error = abs(pair["shared_pages"] - truth["shared_pages"])
        assert error <= 4 * pair["standard_error_pages"] + 1
    assert abs(filtered["union_pages"] / exact["union_pages"] - 1) < 0.01


def test_a_table_is_a_report():
    done = run("sharing", *EXAMPLES)
    assert done.returncode == 0
    assert "Together on one host:" in done.stdout
    assert "{" not in done.stdout


def test_progress_is_shown_on_a_terminal_and_nowhere_else():
    leader, follower = pty.openpty()
    done = subprocess.run(
        [MEMBUDDIES, "sharing", *EXAMPLES],
        stdout=subprocess.PIPE,
        stderr=follower,
        check=True,
    )
    os.close(follower)
    seen = os.read(leader, 65536).decode()
    os.close(leader)
    assert f"reading guests: {len(EXAMPLES)} of {len(EXAMPLES)}" in seen
    assert b"reading" not in done.stdout
    assert run("sharing", *EXAMPLES).stderr == ""


def test_hashes_of_32_bits_are_widened_alike_from_text_and_array(tmp_path):
    hashes = np.random.default_rng(7).integers(0, 2**32, 3000, dtype=np.uint32)
    hashes[:10] = SUPERFASTHASH_ZERO_PAGE
    np.save(tmp_path / "array.npy", hashes)
    (tmp_path / "text.txt").write_text("".join(f"{value}\n" for value in hashes))
    found = answer(
        "sharing", tmp_path / "array.npy", tmp_path / "text.txt", "--format", "list"
    )
    distinct = len(np.unique(hashes)) - 1
    assert found["guests"][0] | {"name": "text"} == found["guests"][1]
    assert found["guests"][0]["zero_pages"] == 10
    assert found["pairs"][0]["shared_pages"] == distinct == found["union_pages"]
    sampled = answer("sharing", tmp_path / "array.npy", tmp_path / "text.txt")
    assert 0.5 * distinct < sampled["pairs"][0]["shared_pages"] < 1.5 * distinct


def test_the_originals_zero_page_is_superfasthash_of_4096_zeros():
    """Paul Hsieh's hash, where all 16-bit words are zero."""
    mask = 2**32 - 1
    value = 4096
    for _ in range(4096 // 4):
        value = ((value << 16) ^ value) & mask
        value = (value + (value >> 11)) & mask
    for left, right in ((3, 5), (4, 17), (25, 6)):
        value = (value ^ (value << left)) & mask
        value = (value + (value >> right)) & mask
    assert value == SUPERFASTHASH_ZERO_PAGE


def test_another_zero_page_can_be_named(tmp_path):
    np.save(tmp_path / "a.npy", np.array([7, 7, 8], np.uint64))
    found = answer("sharing", tmp_path / "a.npy", "--zero-id", 7, "--format", "list")
    assert found["guests"][0]["zero_pages"] == 2
    (tmp_path / "b.txt").write_text("7\n7\n8\n")
    found = answer("sharing", tmp_path / "b.txt", "--zero-id", 7, "--shift", 0)
    assert found["guests"][0]["zero_pages"] == 2


def test_fingerprints_under_one_key_compare_without_the_key(tmp_path):
    a = write_fingerprint(tmp_path / "a.mbf", range(20_000))
    b = write_fingerprint(tmp_path / "b.mbf", range(10_000, 30_000))
    found = answer("sharing", a, b)
    assert [guest["unique_pages"] for guest in found["guests"]] == [20_000] * 2
    pair = found["pairs"][0]
    error = abs(pair["shared_pages"] - 10_000)
    assert error < 4 * pair["standard_error_pages"]


def test_two_guests_may_have_files_of_one_name(tmp_path):
    (tmp_path / "old").mkdir()
    a = write_list(tmp_path / "a.npy", range(9))
    b = write_list(tmp_path / "old" / "a.npy", range(9))
    found = answer("sharing", "--format", "list", a, b, a)
    assert [guest["name"] for guest in found["guests"]] == ["a", "a", "a"]
    assert found["union_pages"] == 9


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.npy", None, "No such file"),
        ("empty.npy", b"", "no .npy file"),
        ("text.npy", b"hello", "no .npy file"),
        ("empty.txt", b"", "holds no page"),
        ("words.txt", b"1\n2\nthree\n", "line 3: 'three'"),
        ("large.txt", b"4294967296\n", "line 1"),
        ("binary.txt", b"\xff\xfe\n", "line 1"),
        ("picture.png", b"PNG", "allowed are .npy, .txt, .mbf"),
        ("short.mbf", b"MBFP", "too short"),
        ("noise.mbf", bytes(200), "not a fingerprint"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_that_names_it(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    line = refusal("sharing", write_list(tmp_path / "a.npy", range(9)), tmp_path / name)
    assert name in line
    assert said in line


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), np.uint64),
        np.zeros(4, np.float64),
        np.zeros(4, np.int64),
        np.zeros(4, np.uint16),
        np.zeros(0, np.uint64),
        np.array([{}], object),
    ],
)
def test_an_array_that_is_no_page_list_is_refused(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    assert "a.npy" in refusal("sharing", tmp_path / "a.npy")


def test_a_file_cut_short_is_refused_before_its_header_is_believed(tmp_path):
    path = write_list(tmp_path / "a.npy", range(4000))
    path.write_bytes(path.read_bytes()[:5000])
    assert "a.npy: no .npy file" in refusal("sharing", path)


def test_files_that_cannot_be_compared_are_refused(tmp_path):
    a = write_fingerprint(tmp_path / "a.mbf", range(20_000))
    b = write_fingerprint(tmp_path / "b.mbf", range(20_000), key=SealKey(b"x" * 32))
    c = write_list(tmp_path / "c.npy", range(20_000))
    assert "b.mbf: sealed under key" in refusal("sharing", a, b)
    assert "c.npy: a page list and a sealed" in refusal("sharing", a, c)
    assert "a.mbf: a sealed fingerprint and a page" in refusal("sharing", c, a)
    assert "--format sample" in refusal("sharing", "--format", "list", a)


def test_sealed_lists_are_counted_to_the_page(tmp_path):
    a = write_fingerprint(tmp_path / "a.mbf", range(20_000), shift=0)
    b = write_fingerprint(tmp_path / "b.mbf", range(10_000, 30_000), shift=0)
    found = answer("sharing", "--format", "list", a, b)
    assert found["pairs"][0]["shared_pages"] == 10_000
    assert found["pairs"][0]["standard_error_pages"] == 0.0
    assert found["union_pages"] == 30_000


def test_bloom_filters_in_files_compare_whatever_their_sizes(tmp_path):
    a = write_filter(tmp_path / "a.mbf", range(20_000))
    b = write_filter(tmp_path / "b.mbf", range(10_000, 30_000), size=2**20)
    c = write_fingerprint(tmp_path / "c.mbf", range(20_000), shift=0)
    found = answer("sharing", "--format", "bloom", a, b, c)
    assert (found["format"], found["shift"]) == ("bloom", 0)
    assert [guest["unique_pages"] for guest in found["guests"]] == [20_000] * 3
    shared = [pair["shared_pages"] for pair in found["pairs"]]
    assert shared == pytest.approx([10_000, 20_000, 10_000], abs=100)
    assert abs(found["union_pages"] - 30_000) < 100


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"hashes": 5}, "differ in number of hashes: 9 and 5"),
        ({"size": 3 * 2**16}, "differ in size: 262144 and 196608"),
        ({"size": 64}, "64 bits is too small"),
    ],
)
def test_bloom_filters_that_do_not_compare_are_refused(tmp_path, other, said):
    a = write_filter(tmp_path / "a.mbf", range(20_000))
    b = write_filter(tmp_path / "b.mbf", range(20_000), **other)
    assert said in refusal("sharing", "--format", "bloom", a, b)


def test_a_bloom_filter_under_another_key_is_refused(tmp_path):
    a = write_filter(tmp_path / "a.mbf", range(2000))
    b = write_filter(tmp_path / "b.mbf", range(2000), key=SealKey(b"x" * 32))
    assert "b.mbf: sealed under key" in refusal("sharing", "--format", "bloom", a, b)


@pytest.mark.parametrize("chosen", ["sample", "list"])
def test_a_bloom_filter_is_compared_as_one_only(tmp_path, chosen):
    a = write_filter(tmp_path / "a.mbf", range(2000))
    said = refusal("sharing", "--format", chosen, a)
    assert "a.mbf: holds a Bloom filter; use --format bloom" in said


def test_a_plan_needs_samples_not_filters(tmp_path):
    scenario = write_scenario(tmp_path)
    for name in "abc":
        write_filter(tmp_path / f"{name}.npy", range(512)).rename(
            tmp_path / f"{name}.mbf"
        )
    scenario.write_text(scenario.read_text().replace(".npy", ".mbf"))
    assert "holds a Bloom filter" in refusal("plan", "--scenario", scenario)


def test_a_file_as_large_as_a_disk_is_refused_by_its_header(tmp_path):
    file = write_fingerprint(tmp_path / "a.mbf", range(2000))
    os.truncate(file, 2**40)
    assert "its header announces" in refusal("sharing", file)
    with (tmp_path / "b.mbf").open("wb") as zeros:
        zeros.truncate(2**40)
    assert "not a fingerprint" in refusal("sharing", tmp_path / "b.mbf")


def test_what_is_no_regular_file_is_refused(tmp_path):
    (tmp_path / "zero.mbf").symlink_to("/dev/zero")
    assert "is no regular file" in refusal("sharing", tmp_path / "zero.mbf")


@pytest.mark.parametrize(
    "arguments", [(), ("--shift", "64"), ("--zero-id", "-1"), ("--format", "x")]
)
def test_a_wrong_call_ends_with_2_and_no_traceback(tmp_path, arguments):
    files = [write_list(tmp_path / "a.npy", range(9))] if arguments else []
    done = run("sharing", *files, *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
