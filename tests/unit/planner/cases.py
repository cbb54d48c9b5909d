# SPDX-License-Identifier: Apache-2.0
"""Random clusters, with every fact that a rule looks at.

Pages come in blocks of a quarter of a MB, so that sharing matters beside the
guests' sizes of a few MB. A number stands for a whole cluster, for hundreds of
facts drawn one by one would take Hypothesis longer than to plan for them.
"""

import dataclasses

import numpy as np
from hypothesis import strategies as st

from membuddies_nova.cluster import Aggregate, Guest, Host, KsmState, ServerGroup
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.planner import Limits
from tests.unit.model.clusters import snapshot_of_pages

BLOCK = 64
_GROUPS = [
    ServerGroup(name="g1", policy="affinity"),
    ServerGroup(name="g2", policy="anti-affinity"),
    ServerGroup(name="g3", policy="soft-affinity"),
    ServerGroup(name="g4", policy="soft-anti-affinity"),
]
_FAST = Aggregate(name="fast", metadata={"disk": "ssd"})
_KEPT = Aggregate(name="kept", metadata={"filter_tenant_id": "p2,p3"})


Fact = tuple[bool, list]
"""Whether the first value is the usual one, and all values."""


def _usual(usual, *others) -> Fact:
    return True, [usual, *others]


def _any(*values) -> Fact:
    return False, list(values)


HOST_FACTS = {
    "memory_mb": _usual(11, *range(4, 11)),
    "reserved_mb": _usual(0, 1),
    "ram_allocation_ratio": _any(1.0, 2.0, 3.0),
    "vcpus": _usual(None, 3, 4),
    "disk_gb": _usual(None, 2, 3),
    "overhead_mb": _usual(0, 1),
    "zone": _any("z1", "z1", "z2"),
    "cell": _usual("c1", "c2"),
    "enabled": _usual(True, False),
    "up": _usual(True, False, False),
    "hypervisor_type": _usual("QEMU", "other"),
    "hypervisor_version": _usual(None, 7, 8),
    "cpu_traits": _any(None, None, None, ("A", "B"), ("A",)),
    "aggregates": _usual((), (_FAST,), (_KEPT,)),
    "trust_group": _usual(None, "t1"),
    "ksm": _usual(KsmState.MERGING, *KsmState, KsmState.UNKNOWN),
    "ksm_free": _usual(False, True),
    "numa_nodes": _usual(1, 2),
    "available_mb": _usual(None, 1, 2),
    "pressure": _usual(None, 0.05, 0.3),
}
GUEST_FACTS = {
    "memory_mb": _any(1, 2, 3, 4),
    "vcpus": _any(1, 2),
    "disk_gb": _any(0, 1, 2),
    "cell": _usual("c1", None),
    "project": _usual("p1", "p2"),
    "status": _usual("ACTIVE", "PAUSED"),
    "task_state": _usual(None, "rebooting"),
    "power_state": _usual(1, None, 4),
    "locked": _usual(False, True),
    "migrating": _usual(False, True),
    "group": _any(*[None] * 9, *_GROUPS * 3),
    "pinned_zone": _any(None, None, None, "z1"),
    "trust_group": _usual(None, "t1"),
    "movable": _usual(True, False),
    "hints": _usual(
        {},
        {"query": "[]"},
        {"different_host": "vm1,vm2"},
        {"different_host": "vm3"},
        {"same_host": "vm1"},
        {"same_host": "vm2,vm4"},
    ),
    "extra_specs": _usual(
        {},
        {"hw:cpu_policy": "dedicated"},
        {"hw:mem_page_size": "large"},
        {"pci_passthrough:alias": "gpu:1"},
        {"hw:mem_encryption": "true"},
        {"aggregate_instance_extra_specs:disk": "ssd"},
        {"aggregate_instance_extra_specs:disk": "ssd"},
    ),
    "pinned_memory": _usual(False, True),
    "last_moved_seconds": _usual(None, 60.0),
    "refused_seconds": _usual(None, 60.0),
    "left_hosts": _usual({}, {"m0": 60.0}, {"m1": 60.0, "m2": 1e9}),
    "age_seconds": _usual(None, 36000.0),
    "change_fraction_per_hour": _usual(None, 0.5, 400_000.0, 400_000.0),
}
LIMITS = {
    "max_moves": _usual(None, 1, 3),
    "moves_per_host": _any(1, 1, 2, 4),
    "min_gain_mb": _usual(0.0, 0.5),
    "cooldown_seconds": _any(600.0),
    "copy_hours": _any(0.1, 0.0),
    "scopes_apart": _any(False, True),
}
PLACES = {"placed": _usual(True, False), "sampled": _usual(True, False),
          "moving_to_m0": _usual(False, True)}  # fmt: skip


def random_cloud(seed: int) -> tuple[ClusterSnapshot, Limits]:
    """A cluster of two to four hosts and four to ten guests, and limits.

    The same seed gives the same.
    """
    random = np.random.default_rng(seed)
    # Few kinds of trouble in one cloud, or nothing could ever move in it.
    loud = {
        (id(choices), name): [values[at] for at in random.integers(1, len(values), 2)]
        for choices in (HOST_FACTS, GUEST_FACTS, LIMITS, PLACES)
        for name, (has_usual, values) in choices.items()
        if has_usual and random.random() < 0.02 + 0.04 * len(values)
    }

    def one_of(choices, name):
        has_usual, values = choices[name]
        if not has_usual:
            return values[random.integers(len(values))]
        if (id(choices), name) in loud and random.random() < 0.6:
            return loud[id(choices), name][random.integers(2)]
        return values[0]

    def facts(choices):
        return {name: one_of(choices, name) for name in choices}

    def blocks(most):
        # Of one of two images, with some of the other's.
        first = 10 * int(random.integers(2))
        count = int(random.integers(min(most, 12) // 2, min(most, 12) + 1))
        return {
            int(block) % 21
            for block in first + np.floor(11 * random.random(count) ** 0.8)
        }

    snapshot = _cluster(
        hosts=int(random.integers(2, 5)),
        guests=int(random.integers(4, 11)),
        facts=facts,
        blocks=blocks,
    )
    return snapshot, Limits(**facts(LIMITS))


def _cluster(hosts, guests, facts, blocks) -> ClusterSnapshot:
    all_hosts = [Host(name=f"m{at}", **facts(HOST_FACTS)) for at in range(hosts)]
    all_guests, pages = [], {}
    for number in range(guests):
        uuid = f"vm{number}"
        host = all_hosts[number % hosts].name
        place = facts(PLACES)
        guest = Guest(
            uuid=uuid,
            name=uuid,
            host=host if place["placed"] else None,
            other_host="m0" if place["placed"] and place["moving_to_m0"] else None,
            **facts(GUEST_FACTS),
        )
        if guest.other_host is not None:
            guest = dataclasses.replace(guest, migrating=True)
        all_guests.append(guest)
        held = blocks(guest.memory_mb * 256 // BLOCK)
        if place["sampled"]:
            pages[uuid] = [
                block * BLOCK + page for block in held for page in range(BLOCK)
            ]
    return snapshot_of_pages(pages, hosts=all_hosts, guests=all_guests)


CLOUDS = st.builds(random_cloud, st.integers(0, 2**32 - 1))
"""Clusters with limits."""
