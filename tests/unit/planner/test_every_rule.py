# SPDX-License-Identifier: Apache-2.0
"""Every rule matters: it alone stops better moves, and without it plans break it."""

import collections

import pytest

from membuddies_nova.model.sharing import SharingModel
from membuddies_nova.planner import plan
from membuddies_nova.planner.draft import Draft
from membuddies_nova.planner.rules import RULES
from membuddies_nova.planner.share import uncertain
from tests.unit.planner.cases import random_cloud
from tests.unit.planner.checker import problems

CASES = 600
WORK = 1000


@pytest.fixture(scope="module")
def stopped():
    """For each rule the cases in which it alone stops a move that would gain."""
    cases = collections.defaultdict(set)
    for seed in range(CASES):
        snapshot, limits = random_cloud(seed)
        draft = Draft(snapshot, SharingModel(snapshot), limits, RULES)
        for guest in snapshot.guests:
            for host in snapshot.hosts:
                if guest.host in (None, host.name) or uncertain(draft, guest, host):
                    continue
                rules = [
                    rule.name
                    for rule in (*RULES.guest, *RULES.pair, *RULES.situation)
                    if rule.stops(guest, host, draft.situation)
                ]
                if len(rules) == 1:
                    cases[rules[0]].add(seed)
    return cases


@pytest.mark.parametrize("rule", sorted(set(RULES.names) - {"moves-per-host"}))
def test_a_rule_alone_stops_a_better_move_in_one_case_of_a_hundred(stopped, rule):
    assert len(stopped[rule]) >= CASES / 100


@pytest.mark.parametrize("rule", sorted(set(RULES.names) - {"moves-per-host"}))
def test_a_planner_without_a_rule_breaks_it(stopped, rule):
    assert any(_breaks(seed, rule) for seed in sorted(stopped[rule]))


def test_a_planner_without_a_cap_on_moves_breaks_it():
    """The cap stops no move for good, it makes it wait for a later wave."""
    assert any(_breaks(seed, "moves-per-host") for seed in range(CASES // 3))


def _breaks(seed, rule) -> bool:
    snapshot, limits = random_cloud(seed)
    rules = RULES.without(rule)
    planned = plan(snapshot, limits=limits, rules=rules, evaluations=WORK)
    named = {problem.split(":")[0] for problem in problems(snapshot, planned, limits)}
    return rule in named
