# SPDX-License-Identifier: Apache-2.0
"""The guest's tracer and the host's agent choose the same sample of the same ids."""

import pathlib
import subprocess

import numpy as np
import pytest

from membuddies_nova.fingerprint.sample import MAX_ITEMS, Sample

_HERE = pathlib.Path(__file__).parent
_HEADERS = _HERE.parents[2] / "guest_kmod"


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    program = tmp_path_factory.mktemp("driver") / "driver"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined"]
    flags += ["-fno-sanitize-recover", f"-I{_HEADERS}"]
    source = _HERE / "trace_sample_driver.c"
    subprocess.run(["gcc", *flags, "-o", program, source], check=True)
    return program


def sampled(driver, ids) -> tuple[int, list[int]]:
    done = subprocess.run(
        [driver], input=ids.tobytes(), stdout=subprocess.PIPE, check=True
    )
    shift, *items = np.frombuffer(done.stdout, dtype="<u8").tolist()
    return shift, items


@pytest.mark.parametrize(
    "count",
    # The tracer has room for twice as many as it may leave.
    [0, 1000, MAX_ITEMS, MAX_ITEMS + 1, 2 * MAX_ITEMS + 3, 10 * MAX_ITEMS],
)
def test_the_tracer_chooses_the_sample_that_the_agent_would(driver, count):
    """Of so many distinct ids that begin with six zero bits, half of them twice."""
    random = np.random.default_rng(count)
    unique = np.unique(random.integers(0, 1 << 58, 2 * count + 1, dtype=np.uint64))
    unique = random.permutation(unique)[:count]
    ids = random.permutation(np.concatenate([unique, unique[: count // 2]]))
    expected = Sample.of_pages(ids, zero_id=2**63)
    assert sampled(driver, ids) == (expected.shift, expected.items.tolist())
    assert (expected.shift > 6) == (count > MAX_ITEMS)


def test_ids_that_a_page_repeats_for_ever_take_no_room(driver):
    ids = np.tile(np.arange(1, 4, dtype=np.uint64), 3 * MAX_ITEMS)
    assert sampled(driver, ids) == (6, [1, 2, 3])
