# SPDX-License-Identifier: Apache-2.0
"""Answering questions, for controllers.

Any number of servers share one topic; the broker gives each question to one of
them. Starting never waits for the broker, and stopping has an end.
"""

import threading
from typing import Any, Protocol

import oslo_messaging
from oslo_config import cfg
from oslo_log import log as logging

from membuddies_nova.bus import transport

LOG = logging.getLogger(__name__)

_RETRY_SECONDS = 10


class Endpoint(Protocol):
    """What answers: one method for each question, JSON in, JSON out.

    A method never raises: the asker would get a traceback for an answer.
    """

    target: oslo_messaging.Target

    def report(self, context: object, /, message: Any = None) -> Any: ...

    def store(self, context: object, /, message: Any = None) -> Any: ...

    def scoreboard(self, context: object, /, message: Any = None) -> Any: ...


class BusServer:
    """One controller's place on the bus. Starts once.

    :param host: the controller's own address on the bus
    :param threads: how many questions are answered at a time
    :raises ConfigurationError: if transport_url is missing or wrong
    """

    def __init__(
        self, conf: cfg.ConfigOpts, endpoint: Endpoint, host: str, threads: int
    ) -> None:
        self._endpoint = endpoint
        self._host = host
        self._threads = threads
        self._transport = transport.transport(conf)
        self._server: oslo_messaging.MessageHandlingServer | None = None
        self._ending = threading.Event()
        # oslo.messaging waits for an absent broker without any end.
        self._starting = threading.Thread(
            target=self._start, name="bus-start", daemon=True
        )

    def start(self) -> None:
        """Begin to answer as soon as the broker is there and lets us in."""
        self._starting.start()

    def stop(self, timeout_seconds: float) -> bool:
        """Finish the questions at hand and take no more.

        :returns: whether that was done in time
        """
        self._ending.set()
        if self._server is None:
            # The broker was never reached: nothing is at hand.
            return True
        stopping = threading.Thread(
            target=self._stop, args=(self._server,), name="bus-stop", daemon=True
        )
        stopping.start()
        stopping.join(timeout_seconds)
        return not stopping.is_alive()

    def _start(self) -> None:
        while not self._ending.is_set():
            server = oslo_messaging.get_rpc_server(
                self._transport,
                transport.target(server=self._host),
                [self._endpoint],
                access_policy=oslo_messaging.DefaultRPCAccessPolicy,
            )
            try:
                server.start(override_pool_size=self._threads)
            except Exception as error:  # noqa: BLE001 of the AMQP library, too
                # A wrong password or virtual host: whoever mends it need not
                # think of us.
                LOG.error(
                    "The message broker does not let us in (%s); see [membuddies] "
                    "transport_url. Trying again in %d seconds.",
                    " ".join(str(error).split()),
                    _RETRY_SECONDS,
                )
                self._ending.wait(_RETRY_SECONDS)
                continue
            self._server = server
            if self._ending.is_set():
                # Told to stop while it was still waiting for the broker.
                server.stop()
                return
            LOG.info("Answering on topic %s of the message broker", transport.TOPIC)
            return

    def _stop(self, server: oslo_messaging.MessageHandlingServer) -> None:
        server.stop()
        server.wait()
        self._transport.cleanup()
