# SPDX-License-Identifier: Apache-2.0
"""Scans this host's guests in turn, the oldest fingerprint first.

One thread, one guest at a time, at a lower priority than the guests. A guest that
cannot be scanned gets a reason, and never keeps the others waiting. Guests that
sample themselves have a scanner of their own: they may be slow to answer.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable

from oslo_log import log as logging

from membuddies_agent.errors import NoFingerprint, ScanInterrupted
from membuddies_agent.guests import Guest
from membuddies_agent.pace import Pace
from membuddies_agent.shelf import Shelf
from membuddies_agent.way import Way

LOG = logging.getLogger(__name__)

_NICENESS = 10
_LOOK_SECONDS = 1.0
"""How often the list of guests is looked at while none is due."""


class Scanner:
    """Keeps the fingerprints of one way's guests as young as pace and way allow.

    :param list_guests: the newest list of guests
    :param shelf: where fingerprints go
    :param pace: when each guest is scanned again
    :param way: to the guests' samples; all others are left to other scanners
    """

    def __init__(
        self,
        list_guests: Callable[[], Iterable[Guest]],
        shelf: Shelf,
        pace: Pace,
        way: Way,
    ) -> None:
        self._list_guests = list_guests
        self._shelf = shelf
        self._pace = pace
        self._way = way
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
        self._way.stop()

    def next_due(self) -> Guest | None:
        """The guest to scan now, None if none is due."""
        guests = {
            (guest.uuid, guest.process): guest
            for guest in self._list_guests()
            if guest.reason is None
            and guest.process is not None
            and guest.source is self._way.source
        }
        due = self._pace.oldest_due(guests)
        return None if due is None else guests[due]

    def scan_guest(self, guest: Guest) -> None:
        """Scan one guest, whatever comes of it."""
        process = guest.process
        assert process is not None, "a guest without a reason has a process"
        changed = None
        started = time.monotonic()
        try:
            sample = self._way.sample(guest)
            fingerprint = self._shelf.put(guest.uuid, process, sample, time.time())
        except ScanInterrupted:
            return
        except NoFingerprint as error:
            if self._shelf.refuse(guest.uuid, process, error.reason):
                LOG.info("Guest %s has no fingerprint: %s", guest.uuid, error)
        except Exception:
            # A guest that nobody foresaw must not end the scans of the others.
            self._shelf.refuse(guest.uuid, process, self._way.failure)
            LOG.exception("Scanning guest %s failed", guest.uuid)
        else:
            changed = fingerprint.changed
            LOG.debug(
                "Scanned guest %s: %d pages, %d items, %.2f seconds, changed %s",
                guest.uuid,
                sample.counters.resident_pages,
                len(sample.items),
                time.monotonic() - started,
                "unknown" if changed is None else f"{changed:.1%}",
            )
        self._pace.note((guest.uuid, process), changed)
