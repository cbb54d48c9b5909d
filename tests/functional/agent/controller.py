# SPDX-License-Identifier: Apache-2.0
"""The far end of the bus: a controller that only listens, and an agent to it."""

import contextlib
import queue
from collections.abc import Callable

import oslo_messaging

from membuddies_agent.service import AgentService
from membuddies_nova.bus import tag
from membuddies_nova.bus.messages import Outcome, Report, ReportAnswer, StoreAnswer
from membuddies_nova.bus.messages import StoreRequest as Store
from membuddies_nova.bus.server import BusServer
from membuddies_nova.facts import Cause, GuestFacts, Source, Wanted
from membuddies_nova.fingerprint import seal

WAIT_SECONDS = 60


class Controller:
    """An endpoint that wants every fingerprint it has not got.

    :ivar sources: what it says of who reads guests' memory, by uuid
    """

    target = oslo_messaging.Target(version="1.0")

    def __init__(self, key_file: str) -> None:
        self._key_file = key_file
        self.reports: queue.Queue[Report] = queue.Queue()
        self.stores: queue.Queue[Store] = queue.Queue()
        self.sources: dict[str, Source] = {}
        self._digests: set[str] = set()

    def report(self, context: object, message: object = None) -> object:
        report = Report.from_json(message)
        tag.check("report", message, seal.KeyRing.from_file(self._key_file))
        self.reports.put(report)
        wanted = tuple(
            Wanted(guest.uuid, Cause.UNKNOWN)
            for guest in report.guests
            if guest.digest is not None and guest.digest not in self._digests
        )
        return ReportAnswer(wanted=wanted, sources=self.sources).to_json()

    def store(self, context: object, message: object = None) -> object:
        request = Store.from_json(message)
        tag.check("store", message, seal.KeyRing.from_file(self._key_file))
        self._digests.add(request.digest)
        self.stores.put(request)
        return StoreAnswer(outcome=Outcome.STORED).to_json()

    def scoreboard(self, context: object, message: object = None) -> object:
        raise NotImplementedError

    def line_of(
        self, uuid: str, wanted: Callable[[GuestFacts | None], bool]
    ) -> GuestFacts | None:
        """A guest's line in the first report where it is as wanted."""
        while True:
            report = self.reports.get(timeout=WAIT_SECONDS)
            lines = {guest.uuid: guest for guest in report.guests}
            if wanted(lines.get(uuid)):
                return lines.get(uuid)

    def stored(self, uuid: str) -> Store:
        """The next fingerprint of a guest."""
        while True:
            request = self.stores.get(timeout=WAIT_SECONDS)
            if request.guest == uuid:
                return request


@contextlib.contextmanager
def controlling(conf):
    controller = Controller(conf.agent.key_file)
    server = BusServer(conf, controller, "controller-1", threads=1)
    server.start()
    try:
        yield controller
    finally:
        assert server.stop(WAIT_SECONDS)


@contextlib.contextmanager
def running(conf):
    service = AgentService(conf)
    service.start()
    try:
        yield service
    finally:
        service.stop()
        service.wait()
