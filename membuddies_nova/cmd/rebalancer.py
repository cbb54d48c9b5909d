# SPDX-License-Identifier: Apache-2.0
"""``membuddies-rebalancer``: makes plans, and runs those that may run."""

import sys

from oslo_config import cfg

from membuddies_nova.cmd import daemon
from membuddies_nova.conf import rebalancer as options
from membuddies_nova.db.api import Database
from membuddies_nova.rebalancer import service


def build(conf: cfg.ConfigOpts) -> service.Rebalancer:
    """The service from its configuration.

    :raises ConfigurationError: if an option cannot be used
    """
    options.register(conf)
    return service.Rebalancer(conf, Database(conf))


def main() -> int:
    """Run until SIGTERM."""
    return daemon.run(service.BINARY, build, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
