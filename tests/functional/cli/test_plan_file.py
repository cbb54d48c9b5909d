# SPDX-License-Identifier: Apache-2.0
"""Plans in files: written to a schema, read back, and judged anew."""

import json

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from membuddies_nova import exceptions
from membuddies_nova.cli.plan_file import SCHEMA, read_plan
from membuddies_nova.planner import plan
from tests.functional.cli.command import answer, refusal, run
from tests.functional.cli.page_files import write_scenario
from tests.unit.planner.cases import CLOUDS
from tests.unit.planner.published import published_snapshot

MOVE = ("moves", 0)


@pytest.fixture(scope="module")
def written():
    return plan(published_snapshot()).to_json()


def put(tmp_path, value):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(value))
    return path


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CLOUDS, st.sampled_from(["union", "original"]))
def test_a_plan_is_what_it_was_before_it_was_written(tmp_path, cloud, strategy):
    snapshot, limits = cloud
    value = plan(snapshot, strategy=strategy, limits=limits, evaluations=1000).to_json()
    jsonschema.validate(value, SCHEMA)
    again = read_plan(put(tmp_path, value)).to_json()
    for name in ("before", "after"):
        for use in (*again[name].values(), *value[name].values()):
            del use["mb"]
    for name in ("before_mb", "after_mb", "saved_mb"):
        assert again.pop(name) == pytest.approx(value.pop(name), abs=0.01)
    assert again == value


@pytest.mark.parametrize(
    ("at", "name", "wrong", "field"),
    [
        ((), "strategy", "random", "strategy"),
        ((), "goal", None, "goal"),
        ((), "scope", "world", "scope"),
        ((), "shift", 64, "shift"),
        ((), "before", [], "before"),
        ((), "before", {"M0": {"pages": -1, "guests": []}}, "before.M0.pages"),
        ((), "before", {"M0": {"pages": 1, "guests": [3]}}, "before.M0.guests"),
        ((), "hosts_freed", "M0", "hosts_freed"),
        ((), "moves", {}, "moves"),
        ((), "saved_mb", "much", "saved_mb"),
        ((), "unplaced", [{"guest": "a"}], "unplaced[0].reason"),
        ((), "verdict", "go", "verdict"),
        (MOVE, "wave", -1, "moves[0].wave"),
        (MOVE, "to", None, "moves[0].to"),
        (MOVE, "gain_mb", True, "moves[0].gain_mb"),
        (MOVE, "needs", [0], "moves[0].needs"),
        (MOVE, "checks", "all", "moves[0].checks"),
    ],
)
def test_a_wrong_field_of_a_plan_is_named(tmp_path, written, at, name, wrong, field):
    value = json.loads(json.dumps(written))
    part = value
    for step in at:
        part = part[step]
    part[name] = wrong
    with pytest.raises(exceptions.InputError) as caught:
        read_plan(put(tmp_path, value))
    assert f"plan.json: {field}: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_judges_a_plan_on_the_cluster_as_it_is(tmp_path):
    path = write_scenario(tmp_path)
    done = run("plan", "--scenario", path, "-f", "json")
    file = tmp_path / "plan.json"
    file.write_text(done.stdout)
    jsonschema.validate(json.loads(done.stdout), SCHEMA)
    judged = answer("plan", "--scenario", path, "--check", file)
    assert judged["verdict"] == "move"
    assert [(move["guest"], move["stopped_by"]) for move in judged["moves"]] == [
        ("a", None)
    ]
    assert "gains 2.0 MB" in run("plan", "--scenario", path, "--check", file).stdout

    full = [
        {"name": "m0", "memory_mb": 64},
        {"name": "m1", "memory_mb": 64, "enabled": False},
    ]
    path = write_scenario(tmp_path, hosts=full)
    judged = answer("plan", "--scenario", path, "--check", file)
    assert (judged["verdict"], judged["moves"][0]["stopped_by"]) == (
        "stay",
        "host-disabled",
    )
    file.write_text("{}")
    assert "plan.json: before: " in refusal("plan", "--scenario", path, "--check", file)
