# SPDX-License-Identifier: Apache-2.0
"""Configurations of the bus, and waiting for what has no event."""

import time

from oslo_config import cfg

from membuddies_nova.bus.client import BusUnavailable
from membuddies_nova.conf import bus


def bus_conf(url, timeout_seconds=5.0):
    """A fresh configuration with a transport URL."""
    conf = cfg.ConfigOpts()
    conf([], project="membuddies", default_config_files=[])
    bus.register(conf)
    conf.set_override("transport_url", url, group=bus.GROUP)
    conf.set_override("rpc_timeout_seconds", timeout_seconds, group=bus.GROUP)
    return conf


def eventually(true, seconds=60.0):
    """Wait until a call returns something true: that."""
    end = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return value


def answered(ask, seconds=60.0):
    """Ask until there is an answer, as an agent does: that."""

    def attempt():
        try:
            return ask()
        except BusUnavailable:
            return None

    return eventually(attempt, seconds)
