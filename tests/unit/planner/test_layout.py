# SPDX-License-Identifier: Apache-2.0
"""A layout's numbers after any moves are those of a layout made afresh."""

import dataclasses

import numpy as np
import pytest

from membuddies_nova.cluster import Scope
from membuddies_nova.model.sharing import SharingModel
from membuddies_nova.planner import Limits
from membuddies_nova.planner.draft import Draft
from membuddies_nova.planner.layout import Layout
from membuddies_nova.planner.rules import RULES
from tests.unit.planner.random_clusters import random_cluster

SEEDS = range(12)


def layout_of(snapshot):
    model = SharingModel(snapshot, Scope.PROJECT)
    return Layout(Draft(snapshot, model, Limits(), RULES), model, lambda _: None)


def moved(snapshot, layout):
    """The snapshot with its guests where the layout has them."""
    guests = tuple(
        dataclasses.replace(guest, host=layout.hosts[column].name)
        for guest, column in zip(snapshot.guests, layout.at.tolist(), strict=True)
    )
    return dataclasses.replace(snapshot, guests=guests)


def shuffle(layout, random):
    for _ in range(int(random.integers(1, 5))):
        row = int(random.integers(len(layout.guests)))
        layout.move(row, int(random.integers(len(layout.hosts))))
    layout.refresh()


@pytest.mark.parametrize("seed", SEEDS)
def test_after_any_moves_gains_are_those_of_the_guests_where_they_are(seed):
    random = np.random.default_rng(seed)
    snapshot = random_cluster(seed)
    layout = layout_of(snapshot)
    for _ in range(5):
        shuffle(layout, random)
        fresh = layout_of(moved(snapshot, layout))
        rows = np.arange(len(snapshot.guests))
        gains, expected = layout.gains_of(rows), fresh.gains_of(rows)
        # Who is at home counts the cost of a move more.
        assert np.allclose(gains, expected, atol=2.1 * layout.cost.max())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_move_gains_as_much_as_any_that_is_allowed(seed):
    random = np.random.default_rng(seed)
    layout = layout_of(random_cluster(seed))
    rows = np.arange(len(layout.guests))
    for _ in range(5):
        shuffle(layout, random)
        best = 0.0
        for row, gains in enumerate(layout.gains_of(rows)):
            for column, gain in enumerate(gains):
                if gain > best and layout.stop(row, column) is None:
                    best = gain
        while found := layout.best_move():
            if (stop := layout.stop(*found)) is None:
                break
            layout.strike(*found, stop)
        if found is None:
            assert best <= 1e-6
        else:
            assert layout.gain(*found) == pytest.approx(best)


def test_a_coarser_model_holds_no_more_items_and_agrees_within_its_error():
    snapshot = random_cluster(1)
    model = SharingModel(snapshot, Scope.PROJECT)
    assert model.thinned(10**6) is model
    coarse = model.thinned(1000)
    assert (
        sum(len(s.items) for s in snapshot.thinned(coarse.shift).samples.values()) > 0
    )
    assert coarse.shift > model.shift
    exact = model.saved_pages(model.uuids)
    estimate = coarse.saved_pages(model.uuids)
    assert abs(estimate.pages - exact.pages) < 5 * estimate.standard_error
