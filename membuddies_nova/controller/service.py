# SPDX-License-Identifier: Apache-2.0
"""The controller's process: its place on the bus, its chores, its heartbeat.

For ``membuddies-controller``, which hands in the inventory reader: this package
knows no OpenStack. Nothing here waits for the broker or the database to be
there: each chore and each question fails alone, and is tried again.
"""

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence

from oslo_config import cfg
from oslo_log import log as logging

from membuddies_nova import exceptions
from membuddies_nova.bus.server import BusServer
from membuddies_nova.conf import controller as options
from membuddies_nova.controller.admission import Admission
from membuddies_nova.controller.endpoint import Board, Endpoint
from membuddies_nova.controller.inventory_turn import InventoryTurn
from membuddies_nova.controller.tally import Tally
from membuddies_nova.db import services
from membuddies_nova.db.api import Database
from membuddies_nova.fingerprint import seal

LOG = logging.getLogger(__name__)

BINARY = "membuddies-controller"

_BEAT_SECONDS = 10.0
_KEYS_SECONDS = 10.0
_STOP_SECONDS = 10.0
"""What hangs longer, in the broker, Nova or the database, is left behind."""

# Reports must be answered while stores wait for their turn.
_THREADS_PER_STORE_WORKER = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Chore:
    """What is done again and again, in a thread of its own.

    :ivar run: takes the time in seconds since the epoch
    """

    name: str
    period_seconds: float
    run: Callable[[float], object]


class Controller:
    """One controller. Starts once.

    :param conf: with the options of ``[controller]``
    :param turn: this controller's part in reading the inventory
    :raises ConfigurationError: if transport_url is missing or wrong, or the key
        file cannot be used
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        database: Database,
        board: Board,
        turn: InventoryTurn,
        tally: Tally,
    ) -> None:
        group = conf[options.GROUP]
        self._database = database
        self._host: str = group.host
        self._turn = turn
        self._tally = tally
        self._keys = seal.KeyFile(group.key_file)
        self._server = BusServer(
            conf,
            Endpoint(
                self._keys,
                Admission(
                    database,
                    tally,
                    group.store_workers,
                    group.fingerprint_age_limit_seconds,
                ),
                board,
                tally,
            ),
            self._host,
            threads=group.store_workers * _THREADS_PER_STORE_WORKER,
        )
        self._started_at = time.time()
        self._ending = threading.Event()
        chores: Sequence[Chore] = (
            Chore("inventory", turn.period_seconds, turn.take),
            Chore("heartbeat", _BEAT_SECONDS, self._beat),
            Chore("key file", _KEYS_SECONDS, self._read_keys),
        )
        self._threads = [
            threading.Thread(
                target=self._repeat, args=(chore,), name=chore.name, daemon=True
            )
            for chore in chores
        ]

    def start(self) -> None:
        """Begin to answer, read and beat."""
        self._server.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin no chore any more."""
        self._ending.set()

    def wait(self) -> None:
        """Answer what is at hand, and return when that is done."""
        deadline = time.monotonic() + _STOP_SECONDS
        if not self._server.stop(_STOP_SECONDS):
            LOG.warning("Some questions were left without an answer")
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        try:
            self._turn.give_up()
        except exceptions.MembuddiesError as error:
            LOG.info("The turn to read the inventory was not given up: %s", error)
        self._database.close()

    def reset(self) -> None:
        """At SIGHUP: read the key file again.

        :raises ConfigurationError: if it cannot be used; the last keys stay
        """
        self._read_keys(time.time())

    def _repeat(self, chore: Chore) -> None:
        while not self._ending.is_set():
            started = time.monotonic()
            try:
                chore.run(time.time())
            except exceptions.MembuddiesError as error:
                self._tally.warn(chore.name, f"{chore.name} failed: {error}")
            except Exception:
                # The next time may work; without the thread there is none.
                LOG.exception("%s failed", chore.name)
                self._tally.count("failed")
            spent = time.monotonic() - started
            self._ending.wait(max(0.0, chore.period_seconds - spent))

    def _read_keys(self, _now: float) -> None:
        if self._keys.refresh():
            LOG.info(
                "Agents' messages are believed under key %s",
                " and ".join(key.hex() for key in self._keys.ring.key_ids),
            )

    def _beat(self, now: float) -> None:
        self._database.write(
            lambda session: services.beat(
                session,
                BINARY,
                self._host,
                now,
                {
                    "started_at": self._started_at,
                    "counts": dict(self._tally.counts()),
                },
            )
        )
