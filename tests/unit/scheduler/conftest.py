# SPDX-License-Identifier: Apache-2.0
"""Nova as its scheduler sets it up, without its database."""

import nova.conf
import pytest
from oslo_config import fixture

from membuddies_nova.conf import bus, scheduler


@pytest.fixture
def nova_conf():
    """Nova's configuration with our options in it, reset afterwards."""
    conf = nova.conf.CONF
    conf([], default_config_files=[])
    bus.register(conf)
    scheduler.register(conf)
    with fixture.Config(conf) as config:
        yield config
