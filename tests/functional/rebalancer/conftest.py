# SPDX-License-Identifier: Apache-2.0
"""An emulated Nova, and the configuration that leads the rebalancer to it."""

import pytest
from oslo_config import cfg

from membuddies_nova.conf import rebalancer as options
from membuddies_nova.rebalancer.migrations import Nova
from tests.functional import keystone
from tests.functional.rebalancer.emulator import NovaEmulator


@pytest.fixture
def emulator():
    """A cloud of three hosts without servers; dishonest answers fail the test."""
    emulator = NovaEmulator()
    for name in ("c1", "c2", "c3"):
        emulator.add_host(name)
    emulator.start()
    yield emulator
    emulator.stop()
    assert emulator.dishonesty == []


@pytest.fixture
def nova_options(emulator, tmp_path):
    """A configuration file whose [rebalancer] leads to the emulator."""
    path = tmp_path / "nova.conf"
    path.write_text(keystone.credentials("rebalancer", emulator.url, 5))
    return path


@pytest.fixture
def conf(nova_options):
    conf = cfg.ConfigOpts()
    options.register(conf)
    conf(["--config-file", str(nova_options)], project="membuddies")
    return conf


@pytest.fixture
def nova(conf):
    return Nova.from_conf(conf)
