# SPDX-License-Identifier: Apache-2.0
"""Which of several rebalancers leads: a lease that a thread keeps renewed.

For the service, which starts moves only while ``held``. The thread renews also
while a migration is waited for. Who leads is decided by the row alone; this
process believes itself the leader for a shorter time than the others do, since
it counts from before it asked, by a clock that nobody sets.
"""

import threading
import time
from collections.abc import Callable

from oslo_log import log as logging

LOG = logging.getLogger(__name__)

_RENEWALS_A_LEASE = 3


class Leadership:
    """A lease, renewed by a thread of its own between start and stop.

    :param acquire: takes or renews the row, true if it is ours now; any error it
        raises counts as "not renewed"
    :param release: gives the row up
    :param seconds: how long one acquisition holds
    """

    def __init__(
        self,
        acquire: Callable[[], bool],
        release: Callable[[], None],
        seconds: float,
    ) -> None:
        self._acquire = acquire
        self._release = release
        self._seconds = seconds
        self._until = 0.0
        self._failing = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    @property
    def held(self) -> bool:
        """Whether this process leads, at this very moment."""
        return time.monotonic() < self._until

    def start(self) -> None:
        """Ask for the lease once, then keep asking from a thread."""
        self._renew()
        self._thread.start()

    def stop(self) -> None:
        """Stop renewing, and let others lead at once."""
        self._ending.set()
        self._thread.join(self._seconds)
        if self.held:
            self._until = 0.0
            try:
                self._release()
            except Exception as error:  # noqa: BLE001  any backend may be away
                LOG.warning("The lease was not released, it will expire: %s", error)

    def _run(self) -> None:
        while not self._ending.wait(self._seconds / _RENEWALS_A_LEASE):
            self._renew()

    def _renew(self) -> None:
        led = self.held
        asked = time.monotonic()
        problem = None
        try:
            ours = self._acquire()
        except Exception as error:  # noqa: BLE001  any backend may be away
            problem, ours = str(error), False
        if problem is not None:
            if not self._failing:
                LOG.warning("The lease was not renewed, trying on: %s", problem)
            self._failing = True
            return
        self._failing = False
        self._until = asked + self._seconds if ours else 0.0
        if ours and not led:
            LOG.info("This rebalancer leads now")
        elif led and not ours:
            LOG.warning("Another rebalancer leads now; no move is started here")
