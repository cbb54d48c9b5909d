# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from membuddies_nova.model import best
from membuddies_nova.model.best import BestHosts

GUESTS, HOSTS = 2, 6

_items = st.integers(0, 5)
_tables = st.lists(
    st.lists(_items, min_size=HOSTS, max_size=HOSTS), min_size=GUESTS, max_size=GUESTS
).map(np.array)
_changes = st.lists(
    st.tuples(st.integers(0, HOSTS - 1), st.lists(_items, min_size=2, max_size=2))
)


@pytest.fixture(scope="module", params=[2, 3, 4])
def kept(request):
    """Two hosts are told, and so many are kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(best, "BEST_HOSTS", 2)
        patch.setattr(best, "_KEPT", request.param)
        yield request.param


def told(hosts, table):
    """The best hosts as a list for each guest, by ``hosts`` and by their meaning."""
    found = [[] for _ in range(GUESTS)]
    for place, host, items in zip(*hosts.of(np.arange(GUESTS)), strict=True):
        found[place].append((int(host), int(items)))
    meant = [
        sorted(sorted(enumerate(row), key=lambda each: (-each[1], each[0]))[:2])
        for row in table.tolist()
    ]
    return found, [[each for each in row if each[1]] for row in meant]


def chosen(table):
    hosts = BestHosts(GUESTS, HOSTS)
    hosts.choose(np.arange(GUESTS), np.arange(HOSTS), table)
    return hosts


@pytest.mark.usefixtures("kept")
@settings(max_examples=300)
@given(_tables, _changes)
def test_after_any_changes_the_best_hosts_are_told(table, changes):
    hosts = chosen(table)
    for host, new in changes:
        old = table[:, host].copy()
        table[:, host] = new
        lost = hosts.change(np.arange(GUESTS), host, old, np.array(new))
        if len(lost):
            hosts.choose(lost, np.arange(HOSTS), table[lost])
        found, meant = told(hosts, table)
        assert found == meant


def test_the_next_best_that_is_kept_follows_without_a_new_choice(kept):
    table = np.array([[9, 8, 7, 1, 1, 1]] * GUESTS)
    hosts = chosen(table)
    old, table[:, 0] = table[:, 0].copy(), 2
    lost = hosts.change(np.arange(GUESTS), 0, old, table[:, 0])
    assert len(lost) == (GUESTS if kept == 2 else 0)
