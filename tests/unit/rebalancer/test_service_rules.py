# SPDX-License-Identifier: Apache-2.0
"""From the options to the values that plans are made by."""

import pytest
from oslo_config import cfg

from membuddies_nova.conf import rebalancer as options
from membuddies_nova.rebalancer.service import rules


@pytest.mark.parametrize("isolation", [True, False])
def test_plans_keep_tenants_apart_where_the_scheduler_does(isolation):
    conf = cfg.ConfigOpts()
    options.register(conf)
    conf([], default_config_files=[])
    conf.set_override("ksm_isolation", isolation, group=options.GROUP)
    assert rules(conf).wishes.limits.scopes_apart is isolation
