# SPDX-License-Identifier: Apache-2.0
"""Our line to the lab's broker and controller, for tests that ask them themselves."""

from urllib.parse import urlsplit

import amqp  # type: ignore[import-untyped]
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


def connection() -> amqp.Connection:
    """To our virtual host of the broker; as a context it is open."""
    url = urlsplit(transport_url("membuddies", "membuddies"))
    return amqp.Connection(
        f"{url.hostname}:{url.port}",
        url.username,
        url.password,
        virtual_host=url.path.removeprefix("/"),
    )
