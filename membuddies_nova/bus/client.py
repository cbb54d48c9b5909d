# SPDX-License-Identifier: Apache-2.0
"""Asking the controllers, for agents and schedulers.

Schedulers ask with :class:`BusClient`, which has no key; agents with
:class:`AgentClient`, whose messages carry a tag under the cloud's key.

A client opens nothing until its first question, and works in any process that
has threads. It never retries by itself: what to do about a controller that does
not answer, and when, is the caller's decision.
"""

import queue
import threading
from collections.abc import Callable
from typing import Any

import oslo_messaging
from oslo_config import cfg
from oslo_messaging import exceptions as bus_exceptions
from oslo_messaging.rpc import client as rpc_client

from membuddies_nova import exceptions
from membuddies_nova.bus import tag, transport
from membuddies_nova.bus.messages import (
    Json,
    Outcome,
    Report,
    ReportAnswer,
    ScoreboardAnswer,
    ScoreboardRequest,
    StoreAnswer,
    StoreRequest,
)
from membuddies_nova.conf import bus as options
from membuddies_nova.fingerprint import seal

_MARGIN_SECONDS = 1.0
"""oslo.messaging's own time-out comes first, because it says more."""


class BusUnavailable(exceptions.MembuddiesError):
    """No controller answered, or it could not. Asking later may help."""


class BusRefused(exceptions.MembuddiesError):
    """A controller found the question wrong. Asking again will not help."""


class BusClient:
    """One asker's line to the controllers, for one thread of one process.

    :param conf: the options of ``[membuddies]`` are read from it
    :param host: the asker's name: an agent's is its host as Nova spells it
    :raises ConfigurationError: if transport_url is missing or wrong
    """

    def __init__(self, conf: cfg.ConfigOpts, host: str) -> None:
        self._host = host
        self._transport = transport.transport(conf)
        self._timeout_seconds: float = conf[options.GROUP].rpc_timeout_seconds
        self._rpc = oslo_messaging.get_rpc_client(
            self._transport,
            transport.target(),
            timeout=self._timeout_seconds,
            # Of the connection, which else would be repeated for ever.
            retry=1,
            # No queue, no controller: say so at once.
            transport_options=oslo_messaging.TransportOptions(at_least_once=True),
        )
        self._caller: threading.Thread | None = None

    def scoreboard(self, version: str | None) -> ScoreboardAnswer:
        """Fetch the scoreboard unless it is the one that the asker has.

        :raises BusUnavailable: if no controller answers in time, or it has no
            database
        :raises BusRefused: if the controller finds the question wrong
        :raises MessageError: if the answer is none
        """
        request = ScoreboardRequest(host=self._host, board_version=version)
        answer = ScoreboardAnswer.from_json(self._ask("scoreboard", request.to_json()))
        if answer.outcome is Outcome.UNAVAILABLE:
            raise BusUnavailable(f"the controller has no board: {answer.reason}")
        if answer.outcome is not Outcome.OK:
            raise BusRefused(f"the controller refused: {answer.reason}")
        return answer

    def close(self) -> None:
        """Close the connections; for the end of the client's use."""
        # A call that hangs holds a lock that cleanup would wait for.
        if self._caller is None or not self._caller.is_alive():
            self._transport.cleanup()

    def _ask(self, method: str, message: Json) -> object:
        """One RPC, with an end.

        oslo.messaging makes its reply queue, and with it its first connection,
        without any time-out. So a thread of its own waits for it; while that
        hangs, further questions fail at once, so no more than one message waits
        for a broker that comes back.
        """
        if self._caller is not None and self._caller.is_alive():
            raise BusUnavailable("the message broker is still not reached")
        answers: queue.SimpleQueue[object] = queue.SimpleQueue()

        def call() -> None:
            try:
                answers.put(self._rpc.call({}, method, message=message))
            except Exception as error:  # noqa: BLE001 raised in the caller's thread
                answers.put(error)

        self._caller = threading.Thread(target=call, name="bus-call", daemon=True)
        self._caller.start()
        try:
            answer: Any = answers.get(timeout=self._timeout_seconds + _MARGIN_SECONDS)
        except queue.Empty:
            raise BusUnavailable(
                f"the message broker was not reached in {self._timeout_seconds:g} "
                f"seconds; see [membuddies] transport_url"
            ) from None
        self._caller.join()
        if isinstance(answer, Exception):
            raise self._translated(answer) from answer
        return answer

    def _translated(self, error: Exception) -> BusUnavailable:
        """What oslo.messaging's errors mean to the asker."""
        if isinstance(error, bus_exceptions.MessageUndeliverable):
            return BusUnavailable("no controller listens on the message broker")
        if isinstance(error, bus_exceptions.MessagingTimeout):
            return BusUnavailable(
                f"no controller answered in {self._timeout_seconds:g} seconds"
            )
        if isinstance(error, rpc_client.RemoteError):
            return BusUnavailable(f"the controller failed: {error.exc_type}")
        if isinstance(error, bus_exceptions.MessageDeliveryFailure):
            return BusUnavailable(
                "the message broker is away, or the last controller has just left it"
            )
        # The AMQP library's own errors come through, too: a wrong password or
        # virtual host.
        text = " ".join(str(error).split())
        return BusUnavailable(
            f"the message broker failed ({type(error).__name__}: {text}); see "
            f"[membuddies] transport_url"
        )


class AgentClient(BusClient):
    """An agent's line to the controllers.

    :param key: gives the key that messages are tagged with at that moment
    """

    def __init__(
        self, conf: cfg.ConfigOpts, host: str, key: Callable[[], seal.SealKey]
    ) -> None:
        super().__init__(conf, host)
        self._key = key

    def report(self, report: Report) -> ReportAnswer:
        """Tell of a host.

        :raises BusUnavailable: if no controller answers in time
        :raises BusRefused: if the controller finds the report wrong
        :raises MessageError: if the answer is none
        """
        answer = ReportAnswer.from_json(self._ask_tagged("report", report.to_json()))
        if answer.outcome is Outcome.REFUSED:
            raise BusRefused(f"the controller refused the report: {answer.reason}")
        return answer

    def store(self, request: StoreRequest) -> StoreAnswer:
        """Send a fingerprint; its answer says that it is in the database.

        :raises BusUnavailable: if no controller answers in time, or it has no
            database
        :raises MessageError: if the answer is none
        """
        answer = StoreAnswer.from_json(self._ask_tagged("store", request.to_json()))
        if answer.outcome is Outcome.UNAVAILABLE:
            raise BusUnavailable(f"the controller cannot store: {answer.reason}")
        return answer

    def _ask_tagged(self, question: str, message: Json) -> object:
        return self._ask(question, tag.tagged(question, message, self._key()))
