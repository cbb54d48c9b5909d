# SPDX-License-Identifier: Apache-2.0
"""Plans of small clusters against the exact optimum, itself checked by a solver."""

import functools

import numpy as np
import pytest
import scipy.optimize

from membuddies_nova.cluster import Scope
from membuddies_nova.model.sharing import SharingModel
from membuddies_nova.plan import Goal
from membuddies_nova.planner import Limits, plan
from tests.unit.planner.checker import problems
from tests.unit.planner.optimum import PAGES_PER_MB, Optimum
from tests.unit.planner.published import published_snapshot
from tests.unit.planner.random_clusters import random_cluster, tight_cluster
from tests.unit.planner.reachable import Reachable

SEEDS = range(1000, 1012)


@functools.cache
def solved(seed) -> Optimum:
    return Optimum(random_cluster(seed))


def solved_pages(snapshot) -> int:
    """The pages of the same optimum, by an integer programme.

    x is a guest on a host, y a class of pages there.
    """
    model = SharingModel(snapshot, Scope.PROJECT)
    holders = model.classes.holders.toarray().astype(bool)
    pages, hosts = model.classes.pages, snapshot.hosts
    alone = np.array([model.unique_pages(uuid) for uuid in model.uuids])
    alone = alone - (holders * pages).sum(axis=1)
    guests = len(holders)
    xs = guests * len(hosts)
    cost = np.concatenate((np.repeat(alone, len(hosts)), np.repeat(pages, len(hosts))))

    def row(entries):
        each = np.zeros(len(cost))
        for at, value in entries:
            each[at] = value
        return each

    def x(guest, host):
        return guest * len(hosts) + host

    def y(each, host):
        return xs + each * len(hosts) + host

    rows, low, high = [], [], []
    for guest in range(guests):
        rows.append(row([(x(guest, host), 1) for host in range(len(hosts))]))
        low.append(1)
        high.append(1)
    for at, host in enumerate(hosts):
        sizes = [guest.memory_mb for guest in snapshot.guests]
        rows.append(row([(x(guest, at), sizes[guest]) for guest in range(guests)]))
        low.append(0)
        high.append(host.memory_mb)
        for guest, each in zip(*np.nonzero(holders), strict=True):
            rows.append(row([(y(each, at), 1), (x(guest, at), -1)]))
            low.append(0)
            high.append(np.inf)
    found = scipy.optimize.milp(
        cost,
        integrality=np.ones(len(cost)),
        bounds=scipy.optimize.Bounds(0, 1),
        constraints=scipy.optimize.LinearConstraint(np.array(rows), low, high),
    )
    assert found.success
    return round(found.fun)


@pytest.mark.parametrize("seed", SEEDS)
def test_plans_save_nearly_the_optimum_with_hardly_a_move_too_many(seed):
    optimum = solved(seed)
    snapshot = optimum.snapshot
    planned = plan(snapshot)
    assert problems(snapshot, planned, Limits()) == []
    saved_pages = planned.saved_mb * PAGES_PER_MB
    assert optimum.saving_pages * 0.95 <= saved_pages <= optimum.saving_pages + 1e-6
    moved = {move.guest for move in planned.moves}
    assert len(moved) <= optimum.fewest_moved(saved_pages, len(moved)) + 1


def test_a_walk_to_a_better_layout_ends_in_the_one_with_the_fewest_moves():
    """Only the walk finds the best layout here, with names of hosts as they come."""
    optimum = Optimum(random_cluster(216))
    planned = plan(optimum.snapshot)
    assert planned.saved_mb * PAGES_PER_MB == pytest.approx(optimum.saving_pages)
    moved = {move.guest for move in planned.moves}
    assert len(moved) == optimum.fewest_moved(optimum.saving_pages, len(moved))


@pytest.mark.parametrize("seed", [89, 183])
def test_no_guest_is_moved_more_than_twice_for_a_better_layout(seed):
    """The first walks to the best layouts would move one three times."""
    snapshot = tight_cluster(seed)
    planned = plan(snapshot)
    assert problems(snapshot, planned, Limits()) == []
    best = Reachable(snapshot).best_saved_pages
    assert planned.saved_mb * PAGES_PER_MB >= 0.95 * best > 0


@pytest.mark.parametrize("seed", [6, 8, 13, 17, 25])
def test_in_tight_clusters_plans_save_the_most_that_moves_can_reach(seed):
    snapshot = tight_cluster(seed)
    reachable = Reachable(snapshot)
    planned = plan(snapshot)
    assert problems(snapshot, planned, Limits()) == []
    saved_pages = planned.saved_mb * PAGES_PER_MB
    assert saved_pages == pytest.approx(reachable.best_saved_pages)
    assert len(planned.moves) <= reachable.fewest_moves(saved_pages) + 1


@pytest.mark.parametrize("seed", [51, 122, 145])
def test_in_a_tight_cluster_nobody_waits_elsewhere_who_need_not(seed):
    """Taken guest by guest, the way to these layouts has moves only to wait."""
    snapshot = tight_cluster(seed)
    planned = plan(snapshot)
    assert problems(snapshot, planned, Limits()) == []
    assert len(planned.moves) == len({move.guest for move in planned.moves}) > 0
    saved_pages = planned.saved_mb * PAGES_PER_MB
    assert len(planned.moves) == Reachable(snapshot).fewest_moves(saved_pages)


def test_hosts_keep_the_names_that_can_be_reached_in_fewer_moves():
    """The naming that moves the fewest guests takes more moves than another."""
    snapshot = tight_cluster(71)
    planned = plan(snapshot)
    assert problems(snapshot, planned, Limits()) == []
    saved_pages = planned.saved_mb * PAGES_PER_MB
    fewest = Optimum(snapshot).fewest_moved(saved_pages, len(planned.moves))
    moved = {move.guest for move in planned.moves}
    assert len(moved) > fewest
    assert len(planned.moves) == Reachable(snapshot).fewest_moves(saved_pages) == 8


@pytest.mark.parametrize("seed", [54, 156, 187, *range(12)])
def test_consolidation_leaves_the_fewest_hosts_in_use(seed):
    snapshot = random_cluster(seed)
    planned = plan(snapshot, goal=Goal.CONSOLIDATE)
    assert problems(snapshot, planned, Limits()) == []
    used = [host for host, use in planned.after.items() if use.guests]
    assert len(used) == Optimum(snapshot).fewest_hosts


def test_an_optimum_that_no_order_of_moves_reaches_is_known_as_such():
    snapshot = tight_cluster(8)
    assert Optimum(snapshot).saving_pages > Reachable(snapshot).best_saved_pages > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_the_optimum_is_that_of_an_integer_programme(seed):
    optimum = solved(seed)
    pages = solved_pages(optimum.snapshot)
    assert optimum.before_pages - pages == optimum.saving_pages


def test_the_published_example_is_solved_to_its_optimum():
    optimum = Optimum(published_snapshot())
    assert optimum.saving_pages == 515 * PAGES_PER_MB
    assert optimum.fewest_moved(515 * PAGES_PER_MB, 5) == 2
    assert optimum.fewest_moved(327 * PAGES_PER_MB, 5) == 1
