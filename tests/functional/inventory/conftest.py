# SPDX-License-Identifier: Apache-2.0
"""A reader of an edge whose faults a test sets."""

import pytest
from oslo_config import cfg

from membuddies_nova.conf import inventory as options
from membuddies_nova.inventory.reader import InventoryReader
from tests.functional import keystone
from tests.functional.inventory.edge import Edge


@pytest.fixture
def edge():
    edge = Edge()
    yield edge
    edge.stop()


@pytest.fixture
def reader(edge, tmp_path):
    path = tmp_path / "membuddies.conf"
    path.write_text(keystone.credentials("inventory", edge.url, 2))
    conf = cfg.ConfigOpts()
    options.register(conf)
    conf(["--config-file", str(path)], project="membuddies")
    return InventoryReader(conf)
