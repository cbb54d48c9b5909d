# SPDX-License-Identifier: Apache-2.0
"""What a move has to save: its copy against how long the saving lasts."""

import itertools

import pytest

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.planner import Limits, plan
from membuddies_nova.planner.cost import copy_mb, lasting_hours, least_gain_mb
from tests.unit.model.clusters import snapshot_of_pages
from tests.unit.planner.checker import problems

LIMITS = Limits(copy_mb_per_second=100.0, copy_hours=0.1)


def guest(**facts):
    return Guest(uuid="a", name="a", memory_mb=1024, **facts)


@pytest.mark.parametrize(
    ("changed", "copied_mb"),
    [
        (None, 1000),
        (0.0, 1000),
        # 1000 MB of which 36 in an hour change: 0.01 MB a second.
        (0.036, 1000 / (1 - 1e-4)),
        # Half as fast as it is copied: each pass leaves half of the one before.
        (180.0, 2000),
        # Faster than it is copied: no end.
        (1e6, 100_000),
    ],
)
def test_what_changes_meanwhile_is_copied_again(changed, copied_mb):
    copied = copy_mb(guest(change_fraction_per_hour=changed), 1000.0, LIMITS)
    assert copied == pytest.approx(copied_mb)


def test_a_saving_lasts_as_long_as_the_guest_has_lived_and_its_pages_hold_still():
    assert lasting_hours(guest()) == float("inf")
    assert lasting_hours(guest(age_seconds=7200.0)) == 2
    assert lasting_hours(guest(change_fraction_per_hour=0.25)) == 4
    both = guest(age_seconds=7200.0, change_fraction_per_hour=0.25)
    assert lasting_hours(both) == 2


def test_a_move_has_to_earn_its_copy_and_the_threshold():
    limits = Limits(copy_hours=0.1, min_gain_mb=16.0)
    old, young = guest(age_seconds=360_000.0), guest(age_seconds=3600.0)
    assert least_gain_mb(old, 1000.0, limits) == pytest.approx(16 + 1)
    assert least_gain_mb(young, 1000.0, limits) == pytest.approx(16 + 100)
    assert least_gain_mb(guest(), 1000.0, limits) == 16


@pytest.mark.parametrize(
    ("facts", "moves"),
    [
        ({}, 1),
        ({"age_seconds": 86_400.0}, 1),
        ({"age_seconds": 60.0}, 0),
        ({"age_seconds": 86_400.0, "change_fraction_per_hour": 0.5}, 1),
        ({"age_seconds": 86_400.0, "change_fraction_per_hour": 20.0}, 0),
    ],
)
def test_young_and_restless_guests_stay_where_others_would_move(facts, moves):
    """The move saves a quarter of what it copies."""
    pages = {"a": range(256), "kin": range(192, 448)}
    snapshot = snapshot_of_pages(
        pages,
        hosts=[Host(name=name, memory_mb=4) for name in ("m0", "m1")],
        guests=[
            Guest(uuid="a", name="a", memory_mb=1, host="m0", **facts),
            Guest(uuid="kin", name="kin", memory_mb=1, host="m1", locked=True),
        ],
    )
    planned = plan(snapshot, limits=LIMITS)
    assert len(planned.moves) == moves
    assert problems(snapshot, planned, LIMITS) == []


def equals(seed):
    """Four guests of which each shares 2000 pages with each of the others.

    Two full hosts and a third with room for one: any exchange saves nothing.
    """
    fresh = itertools.count(seed * 1_000_000)
    pages = {name: [next(fresh) for _ in range(2000)] for name in "abcd"}
    for one, two in itertools.combinations("abcd", 2):
        common = [next(fresh) for _ in range(2000)]
        pages[one] += common
        pages[two] += common
    return snapshot_of_pages(
        pages,
        shift=4,
        hosts=[
            Host(name="m0", memory_mb=64),
            Host(name="m1", memory_mb=64),
            Host(name="spare", memory_mb=32),
        ],
        guests=[
            Guest(uuid=name, name=name, memory_mb=32, host=host)
            for name, host in zip("abcd", ("m0", "m0", "m1", "m1"), strict=True)
        ],
    )


def test_guests_that_share_alike_are_not_moved_by_the_noise_of_their_samples():
    seen = [equals(seed) for seed in range(8)]
    gullible = Limits(confidence=0.0)
    assert sum(bool(made(each, gullible).moves) for each in seen) >= 4
    assert sum(bool(made(each, Limits()).moves) for each in seen) <= 1


def made(snapshot, limits):
    return plan(snapshot, limits=limits, evaluations=1000)
