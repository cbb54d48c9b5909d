# SPDX-License-Identifier: Apache-2.0
"""From a fingerprint's arrival to a weigher's board that knows it.

Two real controllers, RabbitMQ and MariaDB; a worker's own copy of the board, which
refreshes as it does inside nova-scheduler. Time begins when an agent sends a
fingerprint and ends when the copy in this process has a profile of it; the longest
of all counts.

Run: python -m tests.benchmarks.board_freshness
"""

import contextlib
import itertools
import os
import pathlib
import random
import sys
import tempfile
import time

from oslo_config import cfg

from membuddies_nova.bus.messages import Outcome
from membuddies_nova.conf import bus as bus_options
from membuddies_nova.conf import scheduler as scheduler_options
from membuddies_nova.db import schema
from membuddies_nova.db.api import Database
from membuddies_nova.scheduler.local_board import LocalBoard
from tests.benchmarks import stored_per_second as agents
from tests.benchmarks.controllers import controller
from tests.benchmarks.figure import Figure
from tests.functional.services import MariaDB, RabbitMQ

REFRESH_SECONDS = 2
ASKED_SECONDS = REFRESH_SECONDS + 1.0
FINGERPRINTS = 30
PATIENCE_SECONDS = 60.0


def worker_board(transport_url: str) -> LocalBoard:
    """A worker's copy, which begins to refresh."""
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.StrOpt("host", default="scheduler"))
    bus_options.register(conf)
    scheduler_options.register(conf)
    conf([], default_config_files=[])
    conf.set_override("transport_url", transport_url, group=bus_options.GROUP)
    conf.set_override("board_refresh_seconds", REFRESH_SECONDS, group="membuddies")
    board = LocalBoard(conf)
    board.start()
    return board


def seconds_until(board: LocalBoard, guest: str, since: float) -> float:
    """When a board with a row for the guest is held."""
    while time.monotonic() < since + PATIENCE_SECONDS:
        newest = board.current()
        line = None if newest is None else newest.guest(guest)
        if line is not None and line.row is not None and not line.pending:
            return time.monotonic() - since
        time.sleep(0.005)
    raise SystemExit(f"the board never knew guest {guest}")


def main() -> int:
    agents.GUESTS = FINGERPRINTS
    requests = agents.make_requests()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="membuddies-benchmark-")
            )
        )
        broker = stack.enter_context(RabbitMQ(folder))
        server = stack.enter_context(MariaDB(folder))
        transport_url = broker.create_vhost("benchmark")
        database_url = server.create_database("benchmark")
        database = Database(database_url)
        schema.upgrade(database)
        agents.place(database)
        for name in ("one", "two"):
            stack.enter_context(controller(folder, transport_url, database_url, name))
        clients = agents.connect(transport_url)
        board = worker_board(transport_url)
        chance = random.Random(5)
        found = []
        for request, client in zip(requests, itertools.cycle(clients), strict=False):
            time.sleep(chance.uniform(0.0, REFRESH_SECONDS))
            started = time.monotonic()
            assert client.store(request).outcome is Outcome.STORED
            found.append(seconds_until(board, request.guest, started))
        database.close()
        for client in clients:
            client.close()
    return Figure(
        name="board_freshness",
        what="from a fingerprint's arrival to a weigher that uses it, the longest",
        how="at most",
        asked=ASKED_SECONDS,
        measured=max(found),
        unit="seconds",
        facts={
            "refresh seconds": REFRESH_SECONDS,
            "controllers": 2,
            "fingerprints": len(found),
            "mean seconds": round(sum(found) / len(found), 2),
            "load_average": round(os.getloadavg()[0], 1),
        },
    ).publish()


if __name__ == "__main__":
    sys.exit(main())
