# SPDX-License-Identifier: Apache-2.0
"""Whatever the cluster, a plan obeys every rule and tells the truth."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from membuddies_nova.cluster import Scope
from membuddies_nova.plan import Goal
from membuddies_nova.planner import plan, rescoped
from tests.unit.planner.cases import CLOUDS, random_cloud
from tests.unit.planner.checker import problems

WORK = 1000
"""Gains to evaluate: enough for some rounds of the search."""


@pytest.mark.parametrize("goal", Goal)
@settings(max_examples=40)
@given(CLOUDS, st.sampled_from(Scope))
def test_no_plan_breaks_a_rule(goal, cloud, scope):
    snapshot, limits = cloud
    planned = plan(snapshot, goal=goal, limits=limits, scope=scope, evaluations=WORK)
    assert problems(snapshot, planned, limits, scope) == []


@settings(max_examples=20)
@given(CLOUDS)
def test_what_the_moves_of_the_goal_share_save_is_worth_them(cloud):
    snapshot, limits = cloud
    planned = plan(snapshot, limits=limits, evaluations=WORK)
    moved = [move for move in planned.moves if move.source is not None]
    gain_mb = sum(move.gain_mb for move in moved)
    assert gain_mb >= limits.min_gain_mb * len({move.guest for move in moved})
    assert planned.saved_mb >= gain_mb - 1e-9


@settings(max_examples=20)
@given(CLOUDS)
def test_consolidation_never_uses_more_hosts_and_empties_all_or_nothing(cloud):
    snapshot, limits = cloud
    planned = plan(snapshot, goal=Goal.CONSOLIDATE, limits=limits)
    sources = {move.source for move in planned.moves} - {None}
    assert sources == set(planned.hosts_freed)


@settings(max_examples=20)
@given(CLOUDS)
@example(random_cloud(81329257))
def test_the_same_moves_at_another_scope_keep_order_and_tell_its_numbers(cloud):
    snapshot, limits = cloud
    planned = plan(snapshot, limits=limits, scope=Scope.PROJECT, evaluations=WORK)
    seen = rescoped(snapshot, planned, Scope.GLOBAL)
    assert [(m.guest, m.destination, m.wave) for m in seen.moves] == [
        (m.guest, m.destination, m.wave) for m in planned.moves
    ]
    # What the moves save, and so whether they are worth it, is the other scope's.
    broken = problems(snapshot, seen, limits, Scope.GLOBAL)
    assert [each for each in broken if not each.startswith("net-benefit:")] == []
    assert rescoped(snapshot, seen, Scope.PROJECT) == planned


@settings(max_examples=10)
@given(CLOUDS)
def test_the_same_arguments_give_the_same_plan(cloud):
    snapshot, limits = cloud
    first = plan(snapshot, limits=limits, evaluations=WORK)
    assert plan(snapshot, limits=limits, evaluations=WORK) == first


@settings(max_examples=10)
@given(CLOUDS)
def test_the_published_rule_copes_with_any_cluster(cloud):
    snapshot, _ = cloud
    planned = plan(snapshot, strategy="original")
    sizes = {guest.uuid: guest.memory_mb for guest in snapshot.guests}
    for host in snapshot.hosts:
        guests = planned.after[host.name].guests
        assert sum(sizes[uuid] for uuid in guests) <= host.memory_mb
    homeless = {guest.guest for guest in planned.unplaced}
    everywhere = [uuid for use in planned.after.values() for uuid in use.guests]
    assert sorted([*everywhere, *homeless]) == sorted(sizes)
