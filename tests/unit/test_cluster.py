# SPDX-License-Identifier: Apache-2.0
import pytest

from membuddies_nova.cluster import (
    Aggregate,
    Guest,
    Host,
    KsmState,
    Scope,
    declared_ksm_free,
)


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


@pytest.mark.parametrize(
    ("words", "free"),
    [
        ([], False),
        (["true"], True),
        ([" Yes "], True),
        (["true", "true"], True),
        (["true", "false"], False),
        (["false"], False),
        (["perhaps"], False),
        ([""], False),
    ],
)
def test_ksm_is_kept_off_where_aggregates_say_so_with_one_voice(words, free):
    aggregates = [
        Aggregate(name="a", metadata={"membuddies:ksm_free": word}) for word in words
    ]
    assert declared_ksm_free([*aggregates, Aggregate(name="other")]) is free


@pytest.mark.parametrize("state", KsmState)
@pytest.mark.parametrize("declared", [True, False])
def test_a_host_may_merge_unless_declared_free_of_ksm_and_confirmed_off(
    state, declared
):
    host = Host(name="h", memory_mb=1, ksm=state, ksm_free=declared)
    assert host.may_merge is not (declared and state is KsmState.OFF)


def test_guests_are_kept_apart_by_trust_group_else_by_project():
    assert guest(project="p", trust_group="t").trust_key == "group:t"
    assert guest(project="p").trust_key == "project:p"
