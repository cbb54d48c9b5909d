# SPDX-License-Identifier: Apache-2.0
"""``membuddies-controller``: stores what agents send, answers schedulers."""

import os
import sys
import uuid

from oslo_config import cfg

from membuddies_nova.cluster import Scope
from membuddies_nova.cmd import daemon
from membuddies_nova.conf import controller as options
from membuddies_nova.conf import inventory as inventory_options
from membuddies_nova.controller import service
from membuddies_nova.controller.board import Board
from membuddies_nova.controller.inventory_turn import InventoryTurn
from membuddies_nova.controller.tally import Tally
from membuddies_nova.db.api import Database
from membuddies_nova.inventory.reader import InventoryReader


def build(conf: cfg.ConfigOpts) -> service.Controller:
    """The service from its configuration.

    :raises ConfigurationError: if an option cannot be used
    """
    options.register(conf)
    inventory_options.register(conf)
    group = conf[options.GROUP]
    database = Database(conf)
    tally = Tally()
    board = Board(
        database,
        scope=Scope(group.scope),
        report_age_limit_seconds=group.report_age_limit_seconds,
        full_scan_age_limit_seconds=group.full_scan_age_limit_seconds,
        forget_fingerprint_seconds=group.forget_fingerprint_seconds,
    )
    turn = InventoryTurn(
        database,
        InventoryReader(conf).refresh,
        tally,
        # Unique to the process: its name may be given to another after it.
        holder=f"{group.host}:{os.getpid()}:{uuid.uuid4().hex[:8]}",
        period_seconds=conf[inventory_options.GROUP].period_seconds,
    )
    return service.Controller(conf, database, board, turn, tally)


def main() -> int:
    """Run until SIGTERM."""
    return daemon.run(service.BINARY, build, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
