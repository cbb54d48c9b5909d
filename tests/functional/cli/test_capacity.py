# SPDX-License-Identifier: Apache-2.0
"""`membuddies capacity`, run as an operator runs it."""

import json

import pytest

from tests.functional.cli.command import answer, refusal, run
from tests.functional.cli.page_files import write_list

POLICIES = ("union", "original", "first-fit", "ram-spread", "image")


@pytest.fixture
def scenario(tmp_path):
    """Two hosts of 6 MB; four waiting guests of 3 MB in two colours."""
    write_list(tmp_path / "red.npy", range(700), zeros=3)
    write_list(tmp_path / "blue.npy", range(5000, 5700))
    value = {
        "format": 1,
        "hosts": [{"name": name, "memory_mb": 6} for name in ("m0", "m1")],
        "guests": [
            {"name": f"{colour}{at}", "memory_mb": 3, "fingerprint": f"{colour}.npy"}
            for at in range(2)
            for colour in ("red", "blue")
        ],
    }
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize("policy", POLICIES)
def test_the_answer_has_the_promised_keys_for_every_policy(scenario, policy):
    found = answer("capacity", "--scenario", scenario, "--policy", policy)
    assert list(found) == ["policy", "placed", "hosts"]
    assert found["policy"] == policy
    assert list(found["hosts"]) == ["m0", "m1"]
    assert all(set(use) == {"pages", "mb", "guests"} for use in found["hosts"].values())
    assert found["placed"] == sum(len(use["guests"]) for use in found["hosts"].values())


def test_the_report_says_how_many_fit(scenario):
    done = run("capacity", "--scenario", scenario, "--policy", "union")
    assert done.returncode == 0
    assert done.stdout.startswith("4 guests placed (policy union).")


def test_a_scenario_is_required_and_its_faults_are_named(scenario, tmp_path):
    assert "--scenario" in run("capacity", "--policy", "union").stderr
    (tmp_path / "red.npy").write_bytes(b"")
    line = refusal("capacity", "--scenario", scenario, "--policy", "union")
    assert "red.npy" in line
