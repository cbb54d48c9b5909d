# SPDX-License-Identifier: Apache-2.0
"""The stage that all tests of the rebalancer share."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.cloud import recorded
from tests.cloud.lab.buddies import Buddies
from tests.cloud.lab.cloud import Cloud
from tests.cloud.lab.layout import HOSTS

from .nova_proxy import NovaProxy, in_catalog
from .stage import Stage


@pytest.fixture(scope="package")
def furnished(cloud: Cloud, buddies: Buddies) -> Iterator[Stage]:
    """The stage with its guests; no rebalancer runs."""
    cloud.stop_service("membuddies-rebalancer-ctl")
    with contextlib.ExitStack() as stack:
        for place in HOSTS:
            # Nothing is planned for hosts that do not merge.
            stack.enter_context(recorded.ksm(cloud, place.key))
        stack.enter_context(in_catalog(cloud))
        proxy = NovaProxy()
        stack.callback(proxy.close)
        stage = Stage(cloud, buddies, proxy)
        stack.callback(stage.close)
        stage.boot()
        yield stage
    buddies.start_rebalancer("observe")


@pytest.fixture
def stage(furnished: Stage) -> Iterator[Stage]:
    """The stage as a test finds it: pairs apart, nothing planned, no rebalancer."""
    furnished.set()
    yield furnished
    furnished.clear()
