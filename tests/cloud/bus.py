# SPDX-License-Identifier: Apache-2.0
"""Our line to the lab's controller, for tests that ask it themselves."""

from oslo_config import cfg

from membuddies_nova.conf import bus

from .lab.layout import transport_url


def options() -> cfg.ConfigOpts:
    """What the bus's clients read; use them inside the lab only."""
    conf = cfg.ConfigOpts()
    conf([], project="membuddies", default_config_files=[])
    bus.register(conf)
    url = transport_url("membuddies", "membuddies")
    conf.set_override("transport_url", url, group=bus.GROUP)
    return conf
