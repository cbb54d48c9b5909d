# SPDX-License-Identifier: Apache-2.0
"""Scans this host's guests in turn, the oldest fingerprint first.

One thread, one guest at a time, at a lower priority than the guests and within
a budget. A guest that cannot be scanned gets a reason, and never keeps the
others waiting.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable

from oslo_log import log as logging

from membuddies_agent.budget import Budget
from membuddies_agent.errors import NoFingerprint, ScanInterrupted
from membuddies_agent.guests import Guest
from membuddies_agent.pace import Pace
from membuddies_agent.scan import scan
from membuddies_agent.shelf import Shelf
from membuddies_nova.facts import Reason

LOG = logging.getLogger(__name__)

_NICENESS = 10
_LOOK_SECONDS = 1.0
"""How often the list of guests is looked at while none is due."""


class Scanner:
    """Keeps every guest's fingerprint as young as pace and budget allow.

    :param list_guests: the newest list of guests
    :param shelf: where fingerprints go
    :param pace: when each guest is scanned again
    :param seed: the cloud's public seed of page ids
    :param core_share: of one core's time, for scans
    :param bytes_per_second: of guest memory to read
    """

    def __init__(
        self,
        list_guests: Callable[[], Iterable[Guest]],
        shelf: Shelf,
        pace: Pace,
        *,
        seed: int,
        core_share: float,
        bytes_per_second: float,
    ) -> None:
        self._list_guests = list_guests
        self._shelf = shelf
        self._pace = pace
        self._seed = seed
        self._stopping = threading.Event()
        self.budget = Budget(core_share, bytes_per_second, self._stopping.wait)

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
        """The guest to scan now, None if none is due."""
        guests = {
            (guest.uuid, guest.process): guest
            for guest in self._list_guests()
            if guest.reason is None and guest.process is not None
        }
        due = self._pace.oldest_due(guests)
        return None if due is None else guests[due]

    def scan_guest(self, guest: Guest) -> None:
        """Scan one guest, whatever comes of it."""
        process = guest.process
        assert process is not None, "a guest without a reason has a process"
        changed = None
        self.budget.begin()
        try:
            found = scan(
                process,
                seed=self._seed,
                stop=self._stopping,
                throttle=self.budget.pay,
            )
            fingerprint = self._shelf.put(
                guest.uuid, process, found.sample(), time.time()
            )
        except ScanInterrupted:
            return
        except NoFingerprint as error:
            if self._shelf.refuse(guest.uuid, process, error.reason):
                LOG.info("Guest %s has no fingerprint: %s", guest.uuid, error)
        except Exception:
            # A guest that nobody foresaw must not end the scans of the others.
            self._shelf.refuse(guest.uuid, process, Reason.UNREADABLE)
            LOG.exception("Scanning guest %s failed", guest.uuid)
        else:
            changed = fingerprint.changed
            LOG.debug(
                "Scanned guest %s: %d pages, %d items, %.2f seconds, changed %s",
                guest.uuid,
                len(found.ids),
                len(fingerprint.bare.items),
                found.seconds,
                "unknown" if changed is None else f"{changed:.1%}",
            )
        self.budget.pay(0)
        self._pace.note((guest.uuid, process), changed)
