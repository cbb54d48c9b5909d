# SPDX-License-Identifier: Apache-2.0
"""Random clusters, with every fact that a rule looks at.

Pages come in blocks of a quarter of a MB, so that sharing matters beside the
guests' sizes of a few MB.
"""

from hypothesis import strategies as st

from membuddies_nova.cluster import Guest, Host, KsmState, ServerGroup
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.planner import Limits
from tests.unit.model.clusters import snapshot_of_pages

BLOCK = 64
_GROUPS = [
    ServerGroup(name="g1", policy="affinity"),
    ServerGroup(name="g2", policy="anti-affinity", max_server_per_host=2),
    ServerGroup(name="g3", policy="soft-affinity"),
    ServerGroup(name="g4", policy="soft-anti-affinity"),
]


def _mostly(usual, *others):
    """The usual value in eleven of twelve cases."""
    return st.sampled_from([usual] * 11 * len(others) + list(others))


HOST_FACTS = st.fixed_dictionaries(
    {
        "memory_mb": st.integers(4, 16),
        "reserved_mb": _mostly(0, 1),
        "ram_allocation_ratio": _mostly(1.0, 1.5),
        "vcpus": _mostly(None, 3),
        "disk_gb": _mostly(None, 3),
        "overhead_mb": _mostly(0, 1),
        "zone": _mostly("z1", "z2"),
        "cell": _mostly("c1", "c2"),
        "enabled": _mostly(True, False),
        "up": _mostly(True, False),
        "hypervisor_type": _mostly("QEMU", "other"),
        "hypervisor_version": _mostly(None, 7, 8),
        "trust_group": _mostly(None, "t1"),
        "ksm": _mostly(KsmState.MERGING, *KsmState),
        "available_mb": _mostly(None, 4),
    }
)
GUEST_FACTS = st.fixed_dictionaries(
    {
        "memory_mb": st.integers(1, 4),
        "vcpus": st.integers(1, 2),
        "disk_gb": st.integers(0, 2),
        "cell": _mostly("c1", None),
        "project": _mostly("p1", "p2"),
        "status": _mostly("ACTIVE", "PAUSED"),
        "task_state": _mostly(None, "rebooting"),
        "power_state": _mostly(1, None, 4),
        "locked": _mostly(False, True),
        "migrating": _mostly(False, True),
        "group": _mostly(None, *_GROUPS),
        "pinned_zone": _mostly(None, "z1"),
        "trust_group": _mostly(None, "t1"),
        "movable": _mostly(True, False),
        "last_moved_seconds": _mostly(None, 60.0),
    }
)
LIMITS = st.builds(
    Limits,
    max_moves=st.sampled_from([None, None, 1, 3]),
    moves_per_host=st.sampled_from([1, 1, 2, 4]),
    min_gain_mb=st.sampled_from([0.0, 0.0, 0.5]),
    cooldown_seconds=st.just(600.0),
)


@st.composite
def clusters(draw) -> ClusterSnapshot:
    """A few hosts and up to ten guests, some of them not placed yet."""
    hosts = [
        Host(name=f"m{number}", **draw(HOST_FACTS))
        for number in range(draw(st.integers(1, 4)))
    ]
    guests, pages = [], {}
    for number in range(draw(st.integers(0, 10))):
        uuid = f"vm{number}"
        guest = Guest(
            uuid=uuid,
            name=uuid,
            host=draw(_mostly(hosts[number % len(hosts)].name, None)),
            **draw(GUEST_FACTS),
        )
        guests.append(guest)
        blocks = draw(
            st.frozensets(st.integers(0, 20), max_size=guest.memory_mb * 256 // BLOCK)
        )
        if draw(_mostly(True, False)):
            pages[uuid] = [
                block * BLOCK + page for block in blocks for page in range(BLOCK)
            ]
    return snapshot_of_pages(pages, hosts=hosts, guests=guests)
