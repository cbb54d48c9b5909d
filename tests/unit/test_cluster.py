# SPDX-License-Identifier: Apache-2.0
import pytest

from membuddies_nova.cluster import Guest, KsmState, Scope


def guest(**fields):
    return Guest(uuid="u", name="n", memory_mb=1, **fields)


@pytest.mark.parametrize(
    ("scope", "fields", "key"),
    [
        (Scope.GLOBAL, {"project": "p", "trust_group": "t"}, "global"),
        (Scope.PROJECT, {"project": "p", "trust_group": "t"}, "project:p"),
        (Scope.GROUP, {"project": "p", "trust_group": "t"}, "group:t"),
        (Scope.GROUP, {"project": "p"}, "project:p"),
        (Scope.PROJECT, {}, "project:"),
    ],
)
def test_a_guest_shares_within_its_scope(scope, fields, key):
    assert guest(**fields).scope_key(scope) == key


def test_a_trust_group_named_like_a_project_is_another_scope():
    assert guest(project="a").scope_key(Scope.GROUP) != guest(
        trust_group="a"
    ).scope_key(Scope.GROUP)


def test_managed_ksm_promises_merging_and_unknown_ksm_does_not():
    assert [state for state in KsmState if state.promises_merging] == [
        KsmState.MERGING,
        KsmState.MANAGED,
    ]
