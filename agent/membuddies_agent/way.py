# SPDX-License-Identifier: Apache-2.0
"""The two ways to a guest's sample: this host reads its memory, or the guest does.

For the scanner, which goes one of them for each guest.
"""

import threading
from typing import Protocol

from membuddies_agent.budget import Budget
from membuddies_agent.guest_agent import GuestAgent
from membuddies_agent.guests import Guest
from membuddies_agent.libvirt_guest_agent import guest_agent_of
from membuddies_agent.scan import scan
from membuddies_agent.trace import trace
from membuddies_nova.facts import Reason, Source
from membuddies_nova.fingerprint.sample import Sample


class Way(Protocol):
    """A way to the samples of some guests; used by one thread.

    :ivar source: it is for the guests of this source
    :ivar failure: the reason where it failed in a way that nobody foresaw
    """

    source: Source
    failure: Reason

    def sample(self, guest: Guest) -> Sample:
        """A guest's bare sample.

        :raises NoFingerprint: if there is none now
        :raises ScanInterrupted: after ``stop``
        """

    def stop(self) -> None:
        """Give up what is under way; from any thread."""


class HostWay:
    """Reads guests' memory, within a budget.

    :param seed: the cloud's public seed of page ids
    :param core_share: of one core's time
    :param bytes_per_second: of guest memory to read
    """

    source = Source.HOST
    failure = Reason.UNREADABLE

    def __init__(
        self, *, seed: int, core_share: float, bytes_per_second: float
    ) -> None:
        self._seed = seed
        self._stopping = threading.Event()
        self.budget = Budget(core_share, bytes_per_second, self._stopping.wait)

    def sample(self, guest: Guest) -> Sample:
        """See ``Way``."""
        assert guest.process is not None, "a guest without a reason has a process"
        self.budget.begin()
        try:
            return scan(
                guest.process,
                seed=self._seed,
                stop=self._stopping,
                throttle=self.budget.pay,
            ).sample()
        finally:
            self.budget.pay(0)

    def stop(self) -> None:
        """See ``Way``."""
        self._stopping.set()


class GuestWay:
    """Has guests sample themselves.

    :param uri: of the libvirt daemon, for a read-write connection
    :param seed: the cloud's public seed of page ids
    :param timeout_seconds: for one guest
    """

    source = Source.GUEST
    failure = Reason.TRACE_FAILED

    def __init__(self, *, uri: str, seed: int, timeout_seconds: float) -> None:
        self._uri = uri
        self._seed = seed
        self.timeout_seconds = timeout_seconds
        self._stopping = threading.Event()

    def sample(self, guest: Guest) -> Sample:
        """See ``Way``."""
        with guest_agent_of(self._uri, guest.uuid) as carry:
            return trace(
                GuestAgent(carry, self._stopping),
                seed=self._seed,
                memory_bytes=guest.memory_bytes,
                timeout_seconds=self.timeout_seconds,
            )

    def stop(self) -> None:
        """See ``Way``."""
        self._stopping.set()
