# SPDX-License-Identifier: Apache-2.0
"""`membuddies plan` without a scenario: the cloud as the database knows it."""

import time

import pytest

from membuddies_nova.cluster import Guest, Host, KsmState
from membuddies_nova.db import fingerprints, inventory, reports
from membuddies_nova.facts import HostFacts, KsmFacts, Number
from membuddies_nova.fingerprint import codec
from tests.functional.cli.command import answer, refusal, run
from tests.functional.cli.page_files import KEY
from tests.unit.model.clusters import sample_of

HOSTS = {"a": "m0", "b": "m1", "c": "m1"}


@pytest.fixture
def config(tmp_path, database_url):
    path = tmp_path / "membuddies.conf"
    # oslo.config replaces $NAME, a password may hold one.
    url = database_url.replace("$", "$$")
    path.write_text(f"[database]\nconnection = {url}\n")
    return path


def fill(database, now, **facts):
    """Two hosts and three guests, of which a is far from its kin.

    :param facts: more of a guest, by its name
    """
    with database.writer() as session:
        inventory.replace(
            session,
            [Host(name=name, memory_mb=4096) for name in ("m0", "m1")],
            [
                Guest(
                    uuid=name,
                    name=name,
                    memory_mb=256,
                    host=host,
                    **facts.get(name, {}),
                )
                for name, host in HOSTS.items()
            ],
            now,
        )
    host_facts = HostFacts(
        mem_total_bytes=2**32,
        mem_available_bytes=2**31,
        ksm=KsmFacts(state=KsmState.MERGING),
    )
    for host in ("m0", "m1"):
        with database.writer() as session:
            reports.store(
                session, host, Number(1, 1), host_facts, [], now, tag="", key_id=""
            )
    body = codec.encode(sample_of(range(50_000), shift=6).sealed(KEY))
    for guest, host in HOSTS.items():
        with database.writer() as session:
            fingerprints.store(
                session, guest, host, Number(1, 1), codec.digest(body), body, now, now
            )


def test_the_cloud_in_the_database_is_planned_for(database, config):
    fill(database, time.time())
    plan = answer("--config-file", config, "plan", "--explain")
    assert [(move["guest"], move["to"]) for move in plan["moves"]] == [("a", "m1")]
    assert plan["shift"] == 6
    assert abs(plan["saved_mb"] - 195) < 20
    coarse = answer("--config-file", config, "plan", "--shift", 8)
    assert coarse["shift"] == 8
    assert "--zero-id" in refusal("--config-file", config, "plan", "--zero-id", 1)


def test_an_inventory_over_the_limit_is_refused_with_its_age(database, config):
    done = run("--config-file", config, "plan")
    assert done.returncode == 1
    assert "the inventory is missing" in done.stderr
    fill(database, time.time() - 4000)
    done = run("--config-file", config, "plan")
    assert done.returncode == 1
    assert " s old, more than 300 s are not allowed" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_move_under_the_rebalancers_threshold_is_not_planned(database, config):
    fill(database, time.time())
    with config.open("a") as file:
        file.write("[rebalancer]\nmin_gain_mb = 1000\n")
    plan = answer("--config-file", config, "plan")
    assert plan["verdict"] == "stay"


def test_where_tenants_are_kept_apart_no_move_brings_them_together(database, config):
    fill(database, time.time(), b={"movable": False}, c={"project": "other"})
    plan = answer("--config-file", config, "plan")
    assert [(move["guest"], move["to"]) for move in plan["moves"]] == [("a", "m1")]
    with config.open("a") as file:
        file.write("[rebalancer]\nksm_isolation = true\n")
    plan = answer("--config-file", config, "plan")
    assert plan["moves"] == []
