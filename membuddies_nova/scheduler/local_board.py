# SPDX-License-Identifier: Apache-2.0
"""A scheduler process's own copy of the scoreboard, kept fresh by a thread.

nova-scheduler makes its weighers in a master process that then forks its
workers, and forks again when one dies. So nothing here starts, locks or
connects before the fork: each worker starts its own thread and connection right
after it, or at the latest with the first request.

Under eventlet the thread is a green one, because the ``threading`` that is
imported here is then eventlet's; it can start only with the first request,
after oslo.service has given the worker an event loop of its own.
"""

import functools
import os
import random
import sys
import threading
import time
from typing import Any

import nova.conf
from oslo_config import cfg
from oslo_log import log as logging

from membuddies_nova import exceptions
from membuddies_nova.bus.client import BusClient
from membuddies_nova.conf import bus as bus_options
from membuddies_nova.conf import scheduler as scheduler_options
from membuddies_nova.scheduler.rare_log import RareLog
from membuddies_nova.scoreboard import codec
from membuddies_nova.scoreboard.board import Scoreboard

LOG = logging.getLogger(__name__)
RARE_LOG = RareLog(__name__)

_FIRST_FETCH_SECONDS = 1.0


class LocalBoard:
    """The newest board that this process knows.

    :param conf: with the options of nova.conf and ``[membuddies]``
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._refreshers: dict[int, threading.Thread] = {}
        # One tuple, so that a reader sees a board with its own time.
        self._held: tuple[Scoreboard, float] | None = None

    def current(self) -> Scoreboard | None:
        """The board, None while there is none that is fresh. Never waits."""
        self.start()
        held = self._held
        if held is None:
            return None
        board, heard_at = held
        limit_seconds = self._conf.membuddies.board_age_limit_seconds
        return board if time.monotonic() - heard_at <= limit_seconds else None

    def start(self) -> None:
        """See that this process has its thread; costs next to nothing if so."""
        process = os.getpid()
        if process in self._refreshers:
            return
        refresher = threading.Thread(
            target=self._refresh_forever, name="membuddies-board", daemon=True
        )
        # setdefault is atomic: of many threads' first requests one starts it.
        if self._refreshers.setdefault(process, refresher) is refresher:
            refresher.start()

    def hold(self, board: Scoreboard) -> None:
        """Use a board from now on, heard of at this moment."""
        self._held = (board, time.monotonic())

    def _refresh_forever(self) -> None:
        # Workers are forked together; let them ask one after another.
        time.sleep(random.uniform(0.0, _FIRST_FETCH_SECONDS))
        feed = BoardFeed(self._conf)
        while True:
            asked_at = time.monotonic()
            board = feed.newest()
            if board is not None:
                self.hold(board)
            # What the answer took is part of the period; a question that took all
            # of it is followed by a short rest.
            period = self._conf.membuddies.board_refresh_seconds
            rest = period - (time.monotonic() - asked_at)
            time.sleep(max(rest, period / 10))


class BoardFeed:
    """What the controller says of the board, one question after another.

    It belongs to one thread, which is the only one to use its connection.

    :param conf: with the bus options and ``host``
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._client: BusClient | None = None
        self._board = Scoreboard.empty()
        self._version: str | None = None

    def newest(self) -> Scoreboard | None:
        """The newest board, None if that cannot be learned. Never raises."""
        try:
            if self._client is None:
                self._client = BusClient(self._conf, self._conf.host)
            answer = self._client.scoreboard(self._version)
            if answer.body is not None:
                self._take(answer.version, answer.body)
        except exceptions.MembuddiesError as error:
            RARE_LOG.warning("bus", "no scoreboard from the controller: %s", error)
        except Exception as error:  # noqa: BLE001 the thread must live on
            RARE_LOG.warning("board", "no scoreboard, unexpectedly: %r", error)
        else:
            return self._board
        return None

    def _take(self, version: str, body: bytes) -> None:
        data = codec.decompress(body)
        if codec.version(data) != version:
            raise exceptions.MessageError("scoreboard", f"is not version {version}")
        self._board = codec.decode(data).prepared()
        self._version = version
        LOG.debug(
            "scoreboard %s: %d bytes, %d hosts, %d guests, %d rows",
            version,
            len(body),
            len(self._board.hosts),
            len(self._board.guest_uuid),
            len(self._board.row_key),
        )


@functools.cache
def shared() -> LocalBoard:
    """The one copy of this process, for the weigher and the filters."""
    conf: Any = nova.conf.CONF
    bus_options.register(conf)
    scheduler_options.register(conf)
    board = LocalBoard(conf)
    os.register_at_fork(after_in_child=functools.partial(_after_fork, board))
    return board


def _after_fork(board: LocalBoard) -> None:
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is None or not patcher.is_monkey_patched("thread"):
        board.start()
