# SPDX-License-Identifier: Apache-2.0
"""Tells the controller of this host, and sends the fingerprints it asks for.

Each report names every guest's newest fingerprint; the answer names those that
the controller wants. Nothing is queued: while the controller is away the shelf
keeps each guest's newest fingerprint, and the next report starts over. So a
lost message, a restarted broker or an emptied database heals by itself.
"""

import itertools
import random
import threading
import time
from collections.abc import Callable, Mapping

from oslo_log import log as logging

from membuddies_agent.guests import Guest
from membuddies_agent.host_facts import HostFactsReader
from membuddies_agent.shelf import Shelf
from membuddies_nova import exceptions
from membuddies_nova.bus.client import AgentClient, BusUnavailable
from membuddies_nova.bus.messages import Outcome, Report, StoreRequest
from membuddies_nova.facts import Cause, Number, Source
from membuddies_nova.fingerprint import seal

LOG = logging.getLogger(__name__)

_JITTER = 0.1
"""Each period is varied by this part of it."""
_FIRST_WITHIN_SECONDS = 10.0
"""Agents that start at one time, as after a power cut, do not speak at once."""
_COALESCE_SECONDS = 1.0
"""Events come in bursts: wait this long for the others."""
_FIRST_RETRY_SECONDS = 2.0
_LONGEST_PAUSE_PERIODS = 5
"""No answer of a controller silences an agent for longer than so many periods."""


class Reporter:
    """Reports in a period of its own, and whenever the guests change.

    :param client: the bus
    :param host: this host as Nova spells it
    :param started: when the agent started, milliseconds since the epoch
    :param list_guests: the newest list of guests, None while it is not known
    :param keys: read again at each report, so that a new key is noticed
    :param scan_soon: called with the uuid of a guest whose fingerprint the
        controller finds too old
    :param tell_sources: called with what the controller says of who reads guests'
        memory, by uuid
    """

    def __init__(
        self,
        client: AgentClient,
        *,
        host: str,
        started: int,
        list_guests: Callable[[], tuple[Guest, ...] | None],
        shelf: Shelf,
        host_facts: HostFactsReader,
        keys: seal.KeyFile,
        period_seconds: float,
        scan_soon: Callable[[str], None],
        tell_sources: Callable[[Mapping[str, Source]], None],
    ) -> None:
        self._client = client
        self._host = host
        self._numbers = (Number(started, counter) for counter in itertools.count(1))
        self._list_guests = list_guests
        self._shelf = shelf
        self._host_facts = host_facts
        self._keys = keys
        self.period_seconds = period_seconds
        self._scan_soon = scan_soon
        self._tell_sources = tell_sources
        self._asked = threading.Event()
        self._stopping = threading.Event()
        self._failures = 0
        self._problem: str | None = None
        self._key_problem: str | None = None

    def ask(self) -> None:
        """Have a report sent at once: the guests have changed."""
        self._asked.set()

    def run(self) -> None:
        """Report until ``stop``."""
        first = min(self.period_seconds, _FIRST_WITHIN_SECONDS)
        self._stopping.wait(random.uniform(0, first))
        self._asked.clear()
        while not self._stopping.is_set():
            delay, hurry = self._report_and_plan()
            if hurry and self._asked.wait(delay):
                self._stopping.wait(_COALESCE_SECONDS)
            elif not hurry:
                self._stopping.wait(delay)
            self._asked.clear()

    def stop(self) -> None:
        """Make ``run`` return."""
        self._stopping.set()
        self._asked.set()

    def report(self) -> float:
        """Send one report and what its answer wants.

        :returns: seconds that the controller asks to wait, 0 if none
        :raises BusUnavailable: if the controller does not answer
        """
        guests = self._list_guests()
        if guests is None:
            # Without a list the controller would take all guests for gone.
            LOG.debug("No report yet: libvirt has not answered since the start")
            return 0.0
        self._notice_key()
        answer = self._client.report(
            Report(
                host=self._host,
                number=next(self._numbers),
                guests=self._shelf.tell(guests),
                facts=self._host_facts.read(),
                sent_at=time.time(),
            )
        )
        self._tell_sources(answer.sources)
        for wanted in answer.wanted:
            if self._stopping.is_set():
                break
            LOG.debug("Wanted of guest %s: %s", wanted.guest, wanted.cause)
            if wanted.cause is Cause.EXPIRED:
                self._scan_soon(wanted.guest)
            else:
                self._store(wanted.guest)
        return answer.slow_down_seconds

    def _store(self, uuid: str) -> None:
        newest = self._shelf.newest(uuid)
        if newest is None:
            # It left between the report and its answer.
            return
        answer = self._client.store(
            StoreRequest(
                host=self._host,
                guest=uuid,
                number=newest.number,
                digest=newest.digest,
                scanned_at=newest.scanned_at,
                body=newest.body,
            )
        )
        if answer.outcome is Outcome.REFUSED:
            LOG.warning("Fingerprint of %s was refused: %s", uuid, answer.reason)
        else:
            LOG.debug("Fingerprint of %s: %s %s", uuid, answer.outcome, answer.reason)

    def _report_and_plan(self) -> tuple[float, bool]:
        """Report once.

        :returns: seconds until the next report, and whether a change of the
            guests may bring it forward
        """
        varied = self.period_seconds * random.uniform(1 - _JITTER, 1 + _JITTER)
        try:
            slow_down_seconds = self.report()
        except BusUnavailable as error:
            self._failures += 1
            if self._failures == 1:
                LOG.warning(
                    "The controller does not answer: %s. Fingerprints are kept, "
                    "and sent when it does.",
                    error,
                )
            ceiling = _FIRST_RETRY_SECONDS * 2 ** min(self._failures - 1, 16)
            retry = min(ceiling, self.period_seconds)
            return retry * random.uniform(0.5, 1.5), False
        except exceptions.MembuddiesError as error:
            if str(error) != self._problem:
                LOG.warning("The report failed: %s", error)
            self._problem = str(error)
        except Exception:
            # The next report may work; without the loop there is none.
            LOG.exception("The report failed")
        else:
            self._problem = None
            if self._failures:
                LOG.info("The controller answers again")
            self._failures = 0
            longest = _LONGEST_PAUSE_PERIODS * self.period_seconds
            pause = min(slow_down_seconds, longest)
            if pause > self.period_seconds:
                return pause * random.uniform(1, 1 + _JITTER), False
        return varied, True

    def _notice_key(self) -> None:
        """Seal with the first key that the file holds now, or keep the last one."""
        try:
            self._keys.refresh()
        except exceptions.ConfigurationError as error:
            if str(error) != self._key_problem:
                LOG.warning("%s. The last key stays in use.", error)
            self._key_problem = str(error)
            return
        self._key_problem = None
        key = self._keys.ring.first
        if key.key_id != self._shelf.key.key_id:
            LOG.info("New key %s: sealing all fingerprints anew", key.key_id.hex())
            self._shelf.seal_with(key)
