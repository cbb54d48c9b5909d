# SPDX-License-Identifier: Apache-2.0
"""Scans this host's guests in turn, the oldest fingerprint first.

One thread, one guest at a time, at a lower priority than the guests. A guest
that cannot be scanned gets a reason, and never keeps the others waiting.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable

from oslo_log import log as logging

from membuddies_agent.errors import NoFingerprint, ScanInterrupted
from membuddies_agent.guests import Guest
from membuddies_agent.procfs import Process
from membuddies_agent.scan import scan
from membuddies_agent.shelf import Shelf
from membuddies_nova.facts import Reason

LOG = logging.getLogger(__name__)

_NICENESS = 10
_LOOK_SECONDS = 1.0
"""How often the list of guests is looked at while none is due."""


class Scanner:
    """Keeps every guest's fingerprint younger than an interval, if it can.

    :param list_guests: the newest list of guests
    :param shelf: where fingerprints go
    :param seed: the cloud's public seed of page ids
    :param interval_seconds: between two scans of a guest
    :param clock: monotonic seconds
    """

    def __init__(
        self,
        list_guests: Callable[[], Iterable[Guest]],
        shelf: Shelf,
        *,
        seed: int,
        interval_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._list_guests = list_guests
        self._shelf = shelf
        self._seed = seed
        self.interval_seconds = interval_seconds
        self._clock = clock
        self._tried_at: dict[tuple[str, Process | None], float] = {}
        self._stopping = threading.Event()

    def run(self) -> None:
        """Scan until ``stop``."""
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while not self._stopping.is_set():
            guest = self.next_due()
            if guest is None:
                self._stopping.wait(_LOOK_SECONDS)
            else:
                self.scan_guest(guest)

    def stop(self) -> None:
        """Make ``run`` return, giving up the scan that is under way."""
        self._stopping.set()

    def next_due(self) -> Guest | None:
        """The guest whose fingerprint is oldest, None if all are young."""
        guests = {
            (guest.uuid, guest.process): guest
            for guest in self._list_guests()
            if guest.reason is None
        }
        self._tried_at = {
            key: tried_at for key, tried_at in self._tried_at.items() if key in guests
        }
        never = -float("inf")
        oldest = min(
            guests, key=lambda key: self._tried_at.get(key, never), default=None
        )
        if oldest is None:
            return None
        age_seconds = self._clock() - self._tried_at.get(oldest, never)
        return guests[oldest] if age_seconds >= self.interval_seconds else None

    def scan_guest(self, guest: Guest) -> None:
        """Scan one guest, whatever comes of it."""
        assert guest.process is not None, "a guest without a reason has a process"
        self._tried_at[guest.uuid, guest.process] = self._clock()
        try:
            found = scan(guest.process, seed=self._seed, stop=self._stopping)
            fingerprint = self._shelf.put(
                guest.uuid, guest.process, found.sample(), time.time()
            )
        except ScanInterrupted:
            return
        except NoFingerprint as error:
            if self._shelf.refuse(guest.uuid, error.reason):
                LOG.info("Guest %s has no fingerprint: %s", guest.uuid, error)
        except Exception:
            # A guest that nobody foresaw must not end the scans of the others.
            self._shelf.refuse(guest.uuid, Reason.UNREADABLE)
            LOG.exception("Scanning guest %s failed", guest.uuid)
        else:
            LOG.debug(
                "Scanned guest %s: %d pages, %d items, %.2f seconds",
                guest.uuid,
                len(found.ids),
                len(fingerprint.bare.items),
                found.seconds,
            )
