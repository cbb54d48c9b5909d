# SPDX-License-Identifier: Apache-2.0
"""``membuddies-agent``: fingerprints this compute node's guests."""

import sys

from oslo_config import cfg

from membuddies_agent import service
from membuddies_nova.cmd import daemon


def build(conf: cfg.ConfigOpts) -> service.AgentService:
    """The service from its configuration.

    :raises ConfigurationError: if an option or the key file cannot be used
    """
    return service.AgentService(conf)


def main() -> int:
    """Run until SIGTERM."""
    return daemon.run("membuddies-agent", build, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
