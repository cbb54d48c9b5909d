# SPDX-License-Identifier: Apache-2.0
"""The cloud that all tests of this directory share."""

import os
from collections.abc import Iterator

import pytest

from .lab.buddies import Buddies
from .lab.cloud import Cloud
from .lab.layout import Layout

# Many a test waits for a guest's next scan.
SCAN_SECONDS = 3
RPC_TIMEOUT_SECONDS = 10


@pytest.fixture(scope="package")
def is_kept() -> bool:
    """Whether the cloud is up already (``make cloud-up``), and is left up."""
    return _lab().is_up


@pytest.fixture(scope="package")
def cloud(is_kept: bool) -> Iterator[Cloud]:
    """A cloud that is up, with this test's thread inside its network.

    The environment variable MEMBUDDIES_LAB names another lab than the usual one.
    """
    lab = _lab()
    lab.up(print)
    try:
        with lab.inside():
            yield lab
    finally:
        if not is_kept:
            lab.down()


@pytest.fixture(scope="package")
def buddies(cloud: Cloud, is_kept: bool) -> Iterator[Buddies]:
    """Our services on that cloud, but for a rebalancer, which its tests start.

    Tests that need nova-scheduler in a certain way configure it for themselves, and
    need not leave it as it was. Where the cloud is left up, all is taken down.
    """
    scans = {
        f"scan_interval_{name}": SCAN_SECONDS for name in ("seconds", "max_seconds")
    }
    options = {
        "agent": scans,
        # What is asked while the broker is away is asked again after so long.
        "membuddies": {"rpc_timeout_seconds": RPC_TIMEOUT_SECONDS},
    }
    ours = Buddies(cloud, options)
    try:
        ours.up(mode=None, in_scheduler=False)
        yield ours
    finally:
        if is_kept:
            ours.down()


def _lab() -> Cloud:
    return Cloud(Layout(os.environ.get("MEMBUDDIES_LAB", Layout.name)))
