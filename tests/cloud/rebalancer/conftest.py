# SPDX-License-Identifier: Apache-2.0
"""The stage that all tests of the rebalancer share."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud.lab.buddies import Buddies
from tests.cloud.lab.cloud import Cloud
from tests.cloud.lab.layout import HOSTS

from .nova_proxy import NovaProxy, in_catalog
from .stage import Stage

_KSM = Path("/sys/kernel/mm/ksm")


@contextlib.contextmanager
def _hosts_that_merge(cloud: Cloud) -> Iterator[None]:
    """Shows each host's agent a KSM that runs, for nothing is planned without.

    The machine's own stays as it is: what it merges is no matter of these tests.
    """
    recorded = cloud.layout.root / "recorded-ksm"
    recorded.mkdir(exist_ok=True)
    for file in _KSM.iterdir():
        (recorded / file.name).write_text(file.read_text())
    (recorded / "run").write_text("1\n")
    try:
        for place in HOSTS:
            cloud.run(["mount", "--bind", str(recorded), str(_KSM)], where=place.key)
        yield
    finally:
        for place in HOSTS:
            cloud.run(["umount", str(_KSM)], where=place.key, check=False)
        shutil.rmtree(recorded)


@pytest.fixture(scope="package")
def furnished(cloud: Cloud, buddies: Buddies) -> Iterator[Stage]:
    """The stage with its guests; no rebalancer runs."""
    cloud.stop_service("membuddies-rebalancer-ctl")
    with contextlib.ExitStack() as stack:
        stack.enter_context(_hosts_that_merge(cloud))
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
