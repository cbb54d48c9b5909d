# SPDX-License-Identifier: Apache-2.0
"""Each rule alone stops a good move; without it the checker finds the breach."""

import dataclasses

import pytest

from membuddies_nova.cluster import Aggregate, Guest, Host, KsmState, ServerGroup
from membuddies_nova.plan import Verdict
from membuddies_nova.planner import Limits, plan
from membuddies_nova.planner.rules import RULES
from tests.unit.model.clusters import snapshot_of_pages
from tests.unit.planner.checker import problems

KIN = range(128)
PAGES = {
    "a": range(64),
    "stranger": range(1000, 1064),
    "kin1": KIN,
    "kin2": KIN,
}
HOSTS = {"a": "m0", "stranger": "m0", "kin1": "m1", "kin2": "m1"}


SSD = "aggregate_instance_extra_specs:disk"
KEPT = Aggregate(name="kept", metadata={"filter_tenant_id": "p8,p9"})


def group(policy, *members):
    return {
        member: {"group": ServerGroup(name="g", policy=policy)} for member in members
    }


# For each rule the facts that make it stop the one good move: a to m1.
CASES = [
    ("opted-out", {"a": {"movable": False}}),
    ("locked", {"a": {"locked": True}}),
    ("not-active", {"a": {"status": "PAUSED"}}),
    ("not-active", {"a": {"power_state": 3}}),
    ("busy", {"a": {"task_state": "rebooting"}}),
    ("migrating", {"a": {"migrating": True}}),
    ("cooldown", {"a": {"last_moved_seconds": 599.0}}),
    ("source-down", {"m0": {"up": False}}),
    ("host-disabled", {"m1": {"enabled": False}}),
    ("host-down", {"m1": {"up": False}}),
    ("ksm", {"m1": {"ksm": KsmState.UNKNOWN}}),
    ("last-move-refused", {"a": {"refused_seconds": 60.0}}),
    ("changes-too-fast", {"a": {"change_fraction_per_hour": 1e6}}),
    ("pinned-cpus", {"a": {"extra_specs": {"hw:cpu_policy": "dedicated"}}}),
    ("pinned-memory", {"a": {"pinned_memory": True}}),
    ("huge-pages", {"a": {"extra_specs": {"hw:mem_page_size": "large"}}}),
    ("pci-devices", {"a": {"extra_specs": {"pci_passthrough:alias": "gpu:1"}}}),
    ("encrypted-memory", {"a": {"extra_specs": {"hw:mem_encryption": "True"}}}),
    ("scheduler-hint", {"a": {"hints": {"query": "[]"}}}),
    ("different-host", {"a": {"hints": {"different_host": "kin1,x"}}}),
    ("different-host", {"kin1": {"hints": {"different_host": "a"}}}),
    ("same-host", {"a": {"hints": {"same_host": "stranger"}}}),
    ("same-host", {"stranger": {"hints": {"same_host": "a"}}}),
    ("trust-scopes", {"kin1": {"project": "p9", "trust_group": "t"}}),
    ("aggregate-extra-specs", {"a": {"extra_specs": {SSD: "ssd"}}}),
    ("aggregate-tenants", {"m1": {"aggregates": (KEPT,)}}),
    ("cpu", {"m0": {"cpu_traits": ("A", "B")}, "m1": {"cpu_traits": ("A",)}}),
    ("cycle", {"a": {"left_hosts": {"m1": 3600.0}}}),
    ("isolation", {"m1": {"trust_group": "t"}}),
    ("cell", {"a": {"cell": "c1"}, "m1": {"cell": "c2"}}),
    ("pinned-zone", {"a": {"pinned_zone": "z0"}, "m1": {"zone": "z1"}}),
    ("hypervisor", {"m0": {"hypervisor_type": "A"}, "m1": {"hypervisor_type": "B"}}),
    ("hypervisor", {"m0": {"hypervisor_version": 2}, "m1": {"hypervisor_version": 1}}),
    ("placement-memory", {"m1": {"ram_allocation_ratio": 0.125}}),
    ("placement-vcpu", {"m1": {"vcpus": 2}}),
    ("placement-disk", {"a": {"disk_gb": 1}, "m1": {"disk_gb": 0}}),
    ("affinity", group("affinity", "a", "stranger")),
    ("anti-affinity", group("anti-affinity", "a", "kin1")),
    ("soft-affinity", group("soft-affinity", "a", "stranger")),
    ("soft-anti-affinity", group("soft-anti-affinity", "a", "kin1")),
    ("available-memory", {"m1": {"available_mb": 1, "overhead_mb": 1}}),
    ("headroom", {"m1": {"overhead_mb": 16}}),
    ("headroom", {"m1": {"reserved_mb": 15, "ram_allocation_ratio": 16.0}}),
]  # fmt: skip
LIMITS = Limits(cooldown_seconds=600.0, scopes_apart=True, copy_hours=0.0)


def cluster(facts, still=None):
    """Guest a and its kin; the others hold still for a rule that is not tested."""
    still = still or {"locked": True}
    facts = {name: facts.get(name, {}) for name in (*HOSTS, "m0", "m1")}
    for name in set(HOSTS) - {"a"}:
        facts[name] = facts[name] | still
    return snapshot_of_pages(
        PAGES,
        hosts=[
            Host(name=name, **{"memory_mb": 16, **facts[name]}) for name in ("m0", "m1")
        ],
        guests=[
            Guest(uuid=name, name=name, memory_mb=1, host=host, **facts[name])
            for name, host in HOSTS.items()
        ],
    )


def test_the_move_is_made_when_no_rule_stops_it():
    planned = plan(cluster({}), limits=LIMITS)
    assert [(move.guest, move.destination) for move in planned.moves] == [("a", "m1")]
    assert planned.moves[0].checks == RULES.names


@pytest.mark.parametrize(("rule", "facts"), CASES)
def test_a_rule_alone_stops_the_move_and_is_named(rule, facts):
    snapshot = cluster(facts, {"movable": False} if rule == "locked" else None)
    planned = plan(snapshot, limits=LIMITS)
    assert planned.verdict is Verdict.STAY
    if rule not in {each.name for each in RULES.guest}:
        assert f"moving a to m1 is stopped by {rule}: " in planned.why

    reckless = plan(snapshot, limits=LIMITS, rules=RULES.without(rule))
    assert [(m.guest, m.destination) for m in reckless.moves] == [("a", "m1")]
    broken = {problem.split(":")[0] for problem in problems(snapshot, reckless, LIMITS)}
    assert broken == {rule}


def test_every_rule_has_a_case():
    assert {rule for rule, _ in CASES} | {"moves-per-host"} == set(RULES.names)


def test_a_guest_may_come_from_a_host_that_is_not_in_the_inventory():
    """It is no hindrance, but nobody can count on that it stays."""
    coming = {"migrating": True, "other_host": "m9"}
    planned = plan(cluster({"stranger": coming, "kin1": coming}), limits=LIMITS)
    assert [(move.guest, move.destination) for move in planned.moves] == [("a", "m1")]
    hint = {"hints": {"same_host": "kin1"}}
    assert plan(cluster({"a": hint}), limits=LIMITS).moves
    assert not plan(cluster({"a": hint, "kin1": coming}), limits=LIMITS).moves


def test_moves_beyond_a_hosts_cap_wait_for_the_next_wave():
    pages = {**PAGES, "b": range(64)}
    snapshot = snapshot_of_pages(
        pages,
        hosts=[Host(name=name, memory_mb=16) for name in ("m0", "m1", "m2")],
        guests=[
            Guest(uuid=name, name=name, memory_mb=1, host={**HOSTS, "b": "m2"}[name])
            for name in pages
        ],
    )
    planned = plan(snapshot)
    assert [(m.guest, m.wave) for m in planned.moves] == [("a", 1), ("b", 2)]
    reckless = plan(snapshot, rules=RULES.without("moves-per-host"))
    assert [(m.guest, m.wave) for m in reckless.moves] == [("a", 1), ("b", 1)]
    assert problems(snapshot, reckless, Limits()) == ["moves-per-host: m1"]


def test_moves_that_have_no_host_in_common_run_in_one_wave():
    """Found in the order a, b, x; b waits for a, and x waits for nobody."""
    other = range(3000, 3060)
    pages = {**PAGES, "b": range(63), "x": other, "y": other}
    hosts = {**HOSTS, "b": "m2", "x": "m3", "y": "m4"}
    snapshot = snapshot_of_pages(
        pages,
        hosts=[Host(name=f"m{number}", memory_mb=16) for number in range(5)],
        guests=[
            Guest(uuid=name, name=name, memory_mb=1, host=hosts[name]) for name in pages
        ],
    )
    planned = plan(snapshot)
    assert [(m.guest, m.wave) for m in planned.moves] == [("a", 1), ("x", 1), ("b", 2)]


def test_what_leaves_in_a_wave_frees_nothing_before_the_next():
    """An exchange through a full host: b must have left before a arrives."""
    snapshot = snapshot_of_pages(
        {**PAGES, "b": range(2000, 2064), "kin3": range(2000, 2064)},
        hosts=[
            Host(name="m0", memory_mb=16),
            Host(name="m1", memory_mb=3),
            Host(name="m2", memory_mb=16),
        ],
        guests=[
            Guest(uuid=name, name=name, memory_mb=1, host=host)
            for name, host in {**HOSTS, "b": "m1", "kin3": "m2"}.items()
        ],
    )
    planned = plan(snapshot, limits=Limits(moves_per_host=9))
    assert [(m.guest, m.destination, m.wave) for m in planned.moves] == [
        ("b", "m2", 1),
        ("a", "m1", 2),
    ]
    assert problems(snapshot, planned, Limits(moves_per_host=9)) == []


def test_several_arrivals_of_a_wave_need_headroom_together():
    pages = {**PAGES, "b": range(64)}
    facts = {"memory_mb": 2, "ram_allocation_ratio": 9.0}
    snapshot = snapshot_of_pages(
        pages,
        hosts=[
            Host(name="m0", memory_mb=16),
            Host(name="m1", **facts),
            Host(name="m2", memory_mb=16),
        ],
        guests=[
            Guest(uuid=name, name=name, memory_mb=1, host={**HOSTS, "b": "m2"}[name])
            for name in pages
        ],
    )
    limits = Limits(moves_per_host=9)
    assert [move.wave for move in plan(snapshot, limits=limits).moves] == [1, 2]
    reckless = plan(snapshot, limits=limits, rules=RULES.without("headroom"))
    assert [move.wave for move in reckless.moves] == [1, 1]
    assert problems(snapshot, reckless, limits) == ["headroom: m1"]


def test_noise_never_moves_a_guest():
    """Half the error more, and the same estimate is no reason to move."""
    far = dataclasses.replace(LIMITS, confidence=1e9)
    snapshot = snapshot_of_pages(
        {name: range(4096) for name in ("a", "kin1", "kin2")},
        shift=3,
        hosts=[Host(name=name, memory_mb=64) for name in ("m0", "m1")],
        guests=[
            Guest(uuid=name, name=name, memory_mb=16, host=HOSTS[name])
            for name in ("a", "kin1", "kin2")
        ],
    )
    assert len(plan(snapshot, limits=LIMITS).moves) == 1
    planned = plan(snapshot, limits=far)
    assert planned.verdict is Verdict.STAY
    assert "net-benefit" in planned.why


def test_a_gain_must_exceed_the_threshold():
    snapshot = cluster({})
    assert plan(snapshot, limits=Limits(min_gain_mb=0.24)).moves
    assert not plan(snapshot, limits=Limits(min_gain_mb=0.25)).moves
