# SPDX-License-Identifier: Apache-2.0
"""Scenarios that are wrong: one line that names the file and the field."""

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from membuddies_nova import exceptions
from membuddies_nova.cli.scenario import read_scenario
from membuddies_nova.planner import plan
from tests.functional.cli.command import refusal
from tests.functional.cli.page_files import write_fingerprint, write_scenario

HOST = {"name": "m0", "memory_mb": 64}
GUEST = {"name": "a", "memory_mb": 4, "host": "m0", "fingerprint": "a.npy"}
GROUP = {"name": "g", "policy": "affinity"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"format": 2}, "format"),
        ({"format": "1"}, "format"),
        ({"hosts": {}}, "hosts"),
        ({"hosts": [3]}, "hosts[0]"),
        ({"hosts": [{"memory_mb": 64}]}, "hosts[0].name"),
        ({"hosts": [{"name": "m0"}]}, "hosts[0].memory_mb"),
        ({"hosts": [HOST | {"memory_mb": "64"}]}, "hosts[0].memory_mb"),
        ({"hosts": [HOST | {"memory_mb": True}]}, "hosts[0].memory_mb"),
        ({"hosts": [HOST | {"memory_mb": -1}]}, "hosts[0].memory_mb"),
        ({"hosts": [HOST | {"memory_mb": 10**30}]}, "hosts[0].memory_mb"),
        ({"hosts": [HOST | {"memory_mb": 1.5}]}, "hosts[0].memory_mb"),
        ({"hosts": [HOST | {"reserved_mb": 65}]}, "hosts[0].reserved_mb"),
        ({"hosts": [HOST | {"ram_allocation_ratio": 0}]}, "ram_allocation_ratio"),
        ({"hosts": [HOST | {"ram_allocation_ratio": math.nan}]}, "allocation_ratio"),
        ({"hosts": [HOST | {"pressure": 2}]}, "hosts[0].pressure"),
        ({"hosts": [HOST | {"enabled": "yes"}]}, "hosts[0].enabled"),
        ({"hosts": [HOST, HOST]}, "hosts[1].name"),
        ({"guests": None}, "guests"),
        ({"guests": [GUEST | {"name": ""}]}, "guests[0].name"),
        ({"guests": [GUEST | {"memory_mb": 0}]}, "guests[0].memory_mb"),
        ({"guests": [GUEST | {"host": "m9"}]}, "guests[0].host"),
        ({"guests": [GUEST, GUEST]}, "guests[1].name"),
        ({"guests": [{"name": "a", "memory_mb": 4}]}, "guests[0].fingerprint"),
        ({"guests": [GUEST | {"fingerprint": 3}]}, "guests[0].fingerprint"),
        ({"guests": [GUEST | {"fingerprint": "\ud800"}]}, "guests[0].fingerprint"),
        ({"guests": [GUEST | {"movable": 1}]}, "guests[0].movable"),
        ({"guests": [GUEST | {"age_seconds": -1}]}, "guests[0].age_seconds"),
        ({"guests": [GUEST | {"group": "g"}]}, "guests[0].group"),
        ({"guests": [GUEST | {"group": {"name": "g"}}]}, "guests[0].group.policy"),
        (
            {"guests": [GUEST | {"group": GROUP | {"policy": "legacy"}}]},
            "guests[0].group.policy",
        ),
        (
            {
                "guests": [
                    GUEST | {"group": GROUP},
                    GUEST | {"name": "b", "group": GROUP | {"policy": "anti-affinity"}},
                ]
            },
            "guests[1].group",
        ),
        (
            {
                "guests": [
                    GUEST | {"group": GROUP | {"rules": {"max_server_per_host": 0}}}
                ]
            },
            "group.rules.max_server_per_host",
        ),
    ],
)
def test_a_wrong_field_is_named(tmp_path, changes, field):
    path = write_scenario(tmp_path, **changes)
    with pytest.raises(exceptions.InputError) as caught:
        read_scenario(path)
    assert str(path) in str(caught.value)
    assert field in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "\ud800", "{'a': 1}", "[" * 100_000, "1" * 10_000]
)
def test_a_file_that_is_no_scenario_is_refused(tmp_path, text):
    path = tmp_path / "scenario.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(exceptions.InputError, match=r"scenario\.json: "):
        read_scenario(path)


def test_the_command_refuses_in_one_line_with_status_2(tmp_path):
    path = write_scenario(tmp_path, hosts=[HOST, HOST])
    line = refusal("plan", "--scenario", path)
    assert "scenario.json: hosts[1].name: 'm0' is given twice" in line
    assert "No such file" in refusal("plan", "--scenario", tmp_path / "none.json")


@pytest.mark.parametrize("name", ["missing.npy", "empty.npy", "corrupt.mbf"])
def test_a_bad_fingerprint_file_is_named(tmp_path, name):
    if not name.startswith("missing"):
        (tmp_path / name).write_bytes(b"")
    path = write_scenario(tmp_path, guests=[GUEST | {"fingerprint": name}])
    assert name in refusal("plan", "--scenario", path)


def test_page_lists_beside_fingerprints_are_refused(tmp_path):
    write_fingerprint(tmp_path / "b.mbf", range(9000))
    guests = [GUEST, GUEST | {"name": "b", "fingerprint": "b.mbf"}]
    path = write_scenario(tmp_path, guests=guests)
    assert "cannot be compared" in refusal("plan", "--scenario", path)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["m0", "a.npy", "affinity"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [*HOST, *GUEST, *GROUP, "hosts", "guests", "group", "rules"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=10,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_change_to_a_scenario_is_planned_or_refused(tmp_path, data):
    """Fuzz: a field replaced by anything never gets a traceback."""
    write_scenario(tmp_path)
    value = {"format": 1, "hosts": [dict(HOST)], "guests": [dict(GUEST)]}
    target = data.draw(
        st.sampled_from([value, value["hosts"][0], value["guests"][0]]), "part"
    )
    names = [
        *target, "reserved_mb", "ram_allocation_ratio", "vcpus", "group", "pressure",
        "host", "project", "movable", "zone", "disk_gb", "last_moved_seconds",
    ]  # fmt: skip
    target[data.draw(st.sampled_from(names), "field")] = data.draw(JSON, "value")
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(value))
    try:
        snapshot = read_scenario(path).snapshot(None, None)
    except exceptions.InputError as error:
        said = str(error)
    else:
        said = plan(snapshot).why
    assert said
    assert "\n" not in said
