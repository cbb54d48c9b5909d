# SPDX-License-Identifier: Apache-2.0
"""Who can keep a guest from being moved, and that nobody overrides a no."""

import pytest

from membuddies_nova import cluster


def ask(**changes: object) -> bool:
    arguments: dict = {
        "project": "p1",
        "excluded_projects": (),
        "metadata": {},
        "extra_specs": {},
        "host_aggregates": (),
    }
    return cluster.may_move(**(arguments | changes))


def test_a_guest_of_whom_nobody_said_anything_may_move():
    assert ask()


@pytest.mark.parametrize("word", ["false", "False", " no ", "OFF", "0"])
def test_a_no_in_any_spelling_keeps_the_guest(word):
    assert not ask(metadata={"membuddies:movable": word})


@pytest.mark.parametrize(
    "place",
    [
        {"excluded_projects": ("p0", "p1")},
        {"metadata": {"membuddies:movable": "false"}},
        {"extra_specs": {"membuddies:movable": "false"}},
        {
            "host_aggregates": (
                cluster.Aggregate(name="other"),
                cluster.Aggregate(
                    name="quiet", metadata={"membuddies:movable": "false"}
                ),
            )
        },
    ],
)
def test_each_place_alone_keeps_the_guest(place):
    assert not ask(**place)


def test_a_tenants_yes_does_not_override_an_operators_no():
    assert not ask(
        metadata={"membuddies:movable": "true"},
        extra_specs={"membuddies:movable": "false"},
    )


def test_a_word_that_means_nothing_keeps_nobody():
    assert ask(metadata={"membuddies:movable": "perhaps"})
