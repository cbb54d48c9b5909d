# SPDX-License-Identifier: Apache-2.0
"""A rebalancer to step, and guests that it would bring together."""

import pytest

from tests.functional.rebalancer import rows
from tests.functional.rebalancer.execution.bench import Bench


@pytest.fixture
def bench(database, emulator, nova):
    return Bench(database, emulator, nova)


@pytest.fixture
def kin(bench):
    """Two guests on different hosts that hold the same pages."""
    servers = [bench.emulator.add_server(host) for host in ("c1", "c2")]
    bench.read_inventory()
    for server in servers:
        rows.store_fingerprint(bench.database, server, seed=1, now=bench.clock.now)
    return servers
