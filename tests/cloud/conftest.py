# SPDX-License-Identifier: Apache-2.0
"""The cloud that all tests of this directory share."""

import os
from collections.abc import Iterator

import pytest

from .lab.buddies import Buddies
from .lab.cloud import Cloud
from .lab.layout import Layout


@pytest.fixture(scope="package")
def cloud() -> Iterator[Cloud]:
    """A cloud that is up, with this test's thread inside its network.

    One that is up already (``make cloud-up``) is used and left up.  The environment
    variable MEMBUDDIES_LAB names another lab than the usual one.
    """
    lab = Cloud(Layout(os.environ.get("MEMBUDDIES_LAB", Layout.name)))
    was_up = lab.is_up
    lab.up(print)
    try:
        with lab.inside():
            yield lab
    finally:
        if not was_up:
            lab.down()


@pytest.fixture(scope="package")
def buddies(cloud: Cloud) -> Iterator[Buddies]:
    """Our services on that cloud: they watch, and move nothing.

    On a cloud that is left up, they are taken down all the same.
    """
    ours = Buddies(cloud)
    try:
        ours.up(mode="observe")
        yield ours
    finally:
        ours.down()
