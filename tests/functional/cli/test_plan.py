# SPDX-License-Identifier: Apache-2.0
"""`membuddies plan --scenario`, run as an operator runs it."""

import json
import pathlib

import numpy as np
import pytest

from tests.functional.cli.command import answer, refusal, run
from tests.functional.cli.page_files import (
    write_fingerprint,
    write_list,
    write_scenario,
)
from tests.unit.model.clusters import page_ids
from tests.unit.planner.published import HOSTS, SIZES_MB, published_pages

EXAMPLE = pathlib.Path(__file__).parents[3] / "examples" / "scenario.json"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The published example as files."""
    directory = tmp_path_factory.mktemp("published")
    for name, pages in published_pages().items():
        np.save(directory / f"{name}.npy", page_ids(np.array(pages, np.uint64)))
    scenario = {
        "format": 1,
        "hosts": [{"name": name, "memory_mb": 3072} for name in ("M0", "M1", "M2")],
        "guests": [
            {
                "name": name,
                "memory_mb": size,
                "host": HOSTS[name],
                "fingerprint": f"{name}.npy",
            }
            for name, size in SIZES_MB.items()
        ],
    }
    path = directory / "scenario.json"
    path.write_text(json.dumps(scenario))
    return path


def test_the_published_example_comes_out_to_the_mb(published):
    plan = answer("plan", "--scenario", published, "--strategy", "original")
    assert (plan["before_mb"], plan["after_mb"]) == (4750, 4423)
    assert (plan["saved_mb"], len(plan["moves"])) == (327, 5)
    assert {move["wave"] for move in plan["moves"]} == {0}


@pytest.mark.parametrize(
    ("arguments", "saved_mb", "moves"),
    [(("--max-moves", 1), 327, 1), (("--max-moves", 2), 515, 2), ((), 515, 2)],
)
def test_the_union_beats_it_in_fewer_moves(published, arguments, saved_mb, moves):
    plan = answer("plan", "--scenario", published, *arguments)
    assert (plan["saved_mb"], len(plan["moves"])) == (saved_mb, moves)
    assert plan["shift"] == 0


def test_the_answer_has_the_keys_that_are_promised(tmp_path):
    plan = answer("plan", "--scenario", write_scenario(tmp_path), "--explain")
    assert {
        "strategy", "shift", "load_seconds", "seconds", "before", "after",
        "before_mb", "after_mb", "saved_mb", "hosts_freed", "moves", "unplaced",
        "verdict", "why",
    } <= set(plan)  # fmt: skip
    assert plan["before"] == {
        "m0": {"pages": 512, "mb": 2.0, "guests": ["a"]},
        "m1": {"pages": 512, "mb": 2.0, "guests": ["b", "c"]},
    }
    assert plan["moves"][0] | {"reason": "", "checks": []} == {
        "wave": 1,
        "guest": "a",
        "from": "m0",
        "to": "m1",
        "gain_mb": 2.0,
        "error_mb": 0.0,
        "copy_mb": 2.0,
        "reason": "",
        "needs": [],
        "checks": [],
    }
    assert plan["hosts_freed"] == ["m0"]
    assert plan["verdict"] == "move"
    by_guest = {each["guest"]: each for each in plan["explanations"]}
    assert by_guest["a"]["inter_shared_pages"] == 512
    assert by_guest["b"]["sentence"] == "no host would save more than m1"


def test_the_example_in_the_repository_can_be_planned():
    plan = answer("plan", "--scenario", EXAMPLE)
    assert plan["verdict"] == "move"
    assert plan["saved_mb"] > 250
    done = run("plan", "--scenario", EXAMPLE, "--explain")
    assert "Verdict: move." in done.stdout
    freed = answer("plan", "--scenario", EXAMPLE, "--goal", "consolidate")
    assert len(freed["hosts_freed"]) == 1


def test_a_rule_that_stops_the_better_host_is_explained(tmp_path):
    path = write_scenario(
        tmp_path,
        hosts=[
            {"name": "m0", "memory_mb": 64},
            {"name": "m1", "memory_mb": 64, "enabled": False},
        ],
    )
    plan = answer("plan", "--scenario", path, "--explain", "--max-moves", 0)
    assert plan["verdict"] == "stay"
    first = plan["explanations"][0]
    assert (first["better_host"], first["stopped_by"]) == ("m1", "host-disabled")


def test_guests_of_two_projects_share_only_at_scope_global(tmp_path):
    write_scenario(tmp_path)
    guests = [
        {
            "name": name,
            "memory_mb": 4,
            "host": host,
            "fingerprint": f"{name}.npy",
            "project": project,
        }
        for name, host, project in (("a", "m0", "p1"), ("b", "m1", "p2"))
    ]
    path = write_scenario(tmp_path, guests=guests)
    assert answer("plan", "--scenario", path)["verdict"] == "stay"
    plan = answer("plan", "--scenario", path, "--scope", "global")
    assert plan["saved_mb"] == 2


def test_new_guests_are_placed_and_giants_are_named(tmp_path):
    write_list(tmp_path / "a.npy", range(512))
    guests = [
        {"name": "a", "memory_mb": 4, "host": "m1", "fingerprint": "a.npy"},
        {"name": "kin", "memory_mb": 4, "fingerprint": "a.npy"},
        {"name": "giant", "memory_mb": 4096, "host": None, "fingerprint": "a.npy"},
    ]
    plan = answer("plan", "--scenario", write_scenario(tmp_path, guests=guests))
    move = plan["moves"][0]
    assert (move["guest"], move["from"], move["to"]) == ("kin", None, "m1")
    assert move["copy_mb"] == 0
    assert plan["unplaced"][0]["guest"] == "giant"
    assert plan["saved_mb"] == 2


def test_fingerprints_are_planned_at_their_own_shift(tmp_path):
    for name, first in (("x", 0), ("y", 0), ("z", 90_000)):
        write_fingerprint(tmp_path / f"{name}.mbf", range(first, first + 50_000))
    guests = [
        {"name": name, "memory_mb": 256, "host": host, "fingerprint": f"{name}.mbf"}
        for name, host in (("x", "m0"), ("y", "m1"), ("z", "m0"))
    ]
    hosts = [{"name": name, "memory_mb": 2048} for name in ("m0", "m1")]
    path = write_scenario(tmp_path, guests=guests, hosts=hosts)
    plan = answer("plan", "--scenario", path)
    assert plan["shift"] == 6
    assert len(plan["moves"]) == 1
    assert plan["moves"][0]["error_mb"] > 0
    assert answer("plan", "--scenario", path, "--shift", 9)["shift"] == 9


def test_a_shell_reads_lists_and_objects_as_json(tmp_path):
    path = write_scenario(tmp_path)
    done = run("plan", "--scenario", path, "-f", "value", "-c", "after")
    assert json.loads(done.stdout) == answer("plan", "--scenario", path)["after"]


def test_a_budget_ends_the_search_early(tmp_path):
    path = write_scenario(tmp_path)
    plan = answer("plan", "--scenario", path, "--budget", "0.000001")
    assert plan["moves"] == []
    assert "budget" in plan["why"]


def test_a_cluster_of_nothing_stays(tmp_path):
    path = write_scenario(tmp_path, hosts=[], guests=[])
    assert answer("plan", "--scenario", path)["verdict"] == "stay"
    assert run("plan", "--scenario", path).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--goal", "relieve", "--strategy", "original"),
        ("--goal", "consolidate", "--strategy", "original"),
        ("--explain", "--strategy", "original"),
    ],
)
def test_what_is_not_available_is_said_in_one_line(tmp_path, arguments):
    assert refusal("plan", "--scenario", write_scenario(tmp_path), *arguments)
