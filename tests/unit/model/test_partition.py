# SPDX-License-Identifier: Apache-2.0
"""A partition after any changes is the one that is counted from nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from membuddies_nova.model import best
from membuddies_nova.model import holders as holders_module
from membuddies_nova.model.partition import Member, Partition

HOSTS = 11
NAMES = [f"guest-{number}" for number in range(9)]

# More items than guests, few enough that they meet; any number of holders.
_members = st.builds(
    lambda items, host, teaches: Member(
        items=np.array(sorted(items), np.uint64), host=host, teaches=teaches
    ),
    st.sets(st.integers(0, 30), max_size=25),
    st.none() | st.integers(0, HOSTS - 1),
    st.frozensets(st.sampled_from(["a", "b", "c"])),
)
_clouds = st.dictionaries(st.sampled_from(NAMES), _members, max_size=len(NAMES))
_changes = st.lists(
    st.tuples(st.sampled_from(NAMES), st.none() | _members), max_size=12
)


def told(partition):
    """All that a partition tells, in an order of its own."""
    sums = partition.consensus
    rows = sorted(sums.rows)
    at = [sums.rows[row] for row in rows]
    hosts = partition.columns.tolist()
    expected = {
        (row, host): sums.expected[number, column]
        for row, number in zip(rows, at, strict=True)
        for column, host in enumerate(hosts)
        if sums.expected[number, column]
    }
    names = sorted(partition.guests)
    numbers = np.array([partition.guests[name] for name in names], np.int64)
    own = [each.tolist() for each in partition.best_hosts(numbers)]
    return {
        "names": names,
        "sizes": dict(zip(rows, sums.sizes[at].tolist(), strict=True)),
        "expected": expected,
        "overlap": sums.overlap[np.ix_(at, at)].tolist() if at else [],
        "own": own,
    }


@pytest.fixture(scope="module", params=[2**18, 5], ids=["one part", "many parts"])
def part_pairs(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holders_module, "_PART_PAIRS", request.param)
        patch.setattr(best, "BEST_HOSTS", 2)
        patch.setattr(best, "_KEPT", 3)
        yield


@pytest.mark.usefixtures("part_pairs")
@settings(max_examples=100, deadline=None)
@given(_clouds, _changes)
def test_any_changes_come_to_what_is_counted_from_nothing(cloud, changes):
    partition = Partition(cloud, HOSTS)
    now = dict(cloud)
    for name, member in changes:
        if member is None and name not in now:
            continue
        partition.change(name, member)
        now.pop(name, None)
        if member is not None:
            now[name] = member
    assert told(partition) == told(Partition(now, HOSTS))


def members(*item_sets, host=0, teaches=frozenset({"a"})):
    return {
        NAMES[number]: Member(
            items=np.array(items, np.uint64), host=host + number, teaches=teaches
        )
        for number, items in enumerate(item_sets)
    }


def test_what_was_taken_away_leaves_nothing_behind():
    cloud = members(range(10), range(5, 15), range(3, 12))
    partition = Partition(cloud, HOSTS)
    for name in cloud:
        partition.change(name, None)
    assert not partition.guests
    assert not partition.consensus.rows
    assert not partition.consensus.expected.any()
    assert not partition.consensus.overlap.any()


def test_the_index_stays_small_however_often_a_guest_changes():
    cloud = members(range(0, 2000), range(1000, 3000))
    partition = Partition(cloud, HOSTS)
    before = partition.memory_bytes
    for turn in range(50):
        items = np.arange(turn * 10_000, turn * 10_000 + 2000, dtype=np.uint64)
        partition.change(NAMES[0], Member(items=items, host=0))
    assert partition.memory_bytes < 2 * before
