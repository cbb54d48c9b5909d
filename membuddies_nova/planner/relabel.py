# SPDX-License-Identifier: Apache-2.0
"""Which host gets which group of guests, so that the most of them stay.

Hosts of one kind are interchangeable: a layout says which guests are together,
and names of such hosts may be exchanged without changing what is saved. Which
naming moves the fewest guests is an assignment problem. Where not every naming can
be reached, the others are candidates, too.
"""

import dataclasses
import itertools
import math

import numpy as np
import scipy.optimize

from membuddies_nova.cluster import Host
from membuddies_nova.planner.layout import NOWHERE, Layout, Rows

_NAMINGS = 120
"""Five hosts of one kind; of more namings most are far from home."""


def relabel(layout: Layout) -> None:
    """Rename hosts of one kind where that saves moves.

    Whether moves in some order lead there is not asked.
    """
    before, displaced = layout.at.copy(), layout.displaced
    renamed = np.arange(len(layout.hosts))
    for columns in _columns_of_kinds(layout):
        if len(columns) > 1:
            renamed[columns] = _names(layout, np.array(columns))
    after = _renamed(layout, renamed)
    if (after == before).all():
        return
    if any(
        layout.never_allows(int(row), int(after[row]))
        for row in np.flatnonzero((after != before) & (after != layout.home))
    ):
        return
    layout.restore(after)
    if layout.displaced >= displaced:
        layout.restore(before)
    layout.refresh()


def namings(layout: Layout) -> list[Rows]:
    """The layout with all exchanges of names, those that move fewest guests first.

    Only itself if there are too many.
    """
    kinds = _columns_of_kinds(layout)
    if math.prod(math.factorial(len(columns)) for columns in kinds) > _NAMINGS:
        return [layout.at.copy()]
    found = []
    for exchanged in itertools.product(*map(itertools.permutations, kinds)):
        renamed = np.arange(len(layout.hosts))
        for columns, names in zip(kinds, exchanged, strict=True):
            renamed[columns] = names
        after = _renamed(layout, renamed)
        if (after == layout.home)[~layout.free].all():
            found.append(after)
    return sorted(found, key=lambda at: np.count_nonzero(at != layout.home))


def _renamed(layout: Layout, names: Rows) -> Rows:
    """Where each guest is when every host has another one's name, by column."""
    return np.where(layout.at == NOWHERE, NOWHERE, names[layout.at])


def _columns_of_kinds(layout: Layout) -> list[list[int]]:
    kinds: dict[Host, list[int]] = {}
    for column, host in enumerate(layout.hosts):
        kinds.setdefault(_kind(host), []).append(column)
    return list(kinds.values())


def _kind(host: Host) -> Host:
    """The host without what tells it from others of its kind."""
    return dataclasses.replace(
        host,
        name="",
        hypervisor_hostname=None,
        pressure=None,
        available_mb=None,
        aggregates=(),
    )


def _names(layout: Layout, columns: np.ndarray) -> np.ndarray:
    """For each of these hosts the one that should get its guests."""
    number = {int(column): at for at, column in enumerate(columns)}
    stay = np.zeros((len(columns), len(columns)))
    fixed = float(len(layout.guests) + 1)
    for column, at in number.items():
        for row in layout.rows_on(column):
            home = number.get(int(layout.home[row]))
            if home is not None:
                stay[at, home] += 1.0 if layout.free[row] else fixed
    return columns[scipy.optimize.linear_sum_assignment(stay, maximize=True)[1]]
