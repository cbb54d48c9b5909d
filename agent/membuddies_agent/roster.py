# SPDX-License-Identifier: Apache-2.0
"""The agent's list of this host's guests, kept up to date by one thread.

The scanner and the reporter read the newest list from it and so never wait for
libvirt. While libvirt is away the last list stands: guests run on without it.
"""

import pathlib
import threading
from collections.abc import Callable, Mapping

from oslo_log import log as logging

from membuddies_agent import procfs
from membuddies_agent.domain import Domain
from membuddies_agent.guests import NOTHING_TOLD, Guest, guests
from membuddies_agent.source import HOST_READS, Choice
from membuddies_nova import exceptions
from membuddies_nova.facts import Source

LOG = logging.getLogger(__name__)

_REFRESH_SECONDS = 10.0
"""A change that libvirt did not tell of is seen after this long."""


class Roster:
    """This host's guests.

    :param list_domains: lists libvirt's domains
    :param on_change: called when a refresh has found another list than before
    :ivar min_age_seconds: guests whose QEMU is younger are not scanned yet
    :param choice: who reads guests' memory on this host
    :param proc: where /proc is mounted
    """

    def __init__(
        self,
        list_domains: Callable[[], list[Domain]],
        on_change: Callable[[], None],
        min_age_seconds: float = 0.0,
        choice: Choice = HOST_READS,
        proc: pathlib.Path = procfs.PROC,
    ) -> None:
        self._list_domains = list_domains
        self._on_change = on_change
        self.min_age_seconds = min_age_seconds
        self._choice = choice
        self._proc = proc
        self._told = NOTHING_TOLD
        self._guests: tuple[Guest, ...] | None = None
        self._asked = threading.Event()
        self._stopping = threading.Event()
        self._failing = False

    @property
    def guests(self) -> tuple[Guest, ...] | None:
        """The newest list; None until libvirt has answered once."""
        return self._guests

    def ask(self) -> None:
        """Have the list refreshed at once: something has changed."""
        self._asked.set()

    def tell(self, sources: Mapping[str, Source]) -> None:
        """Take what the controller says of who reads guests' memory, by uuid."""
        if sources != self._told:
            self._told = sources
            self.ask()

    def refresh(self) -> bool:
        """List the guests anew.

        :returns: whether the list has changed
        :raises MembuddiesError: if libvirt is away; the last list stands
        """
        found = guests(
            self._list_domains(),
            procfs.qemu_processes(self._proc),
            procfs.ticks_ago(self.min_age_seconds),
            self._choice,
            self._told,
        )
        before, self._guests = self._guests, found
        known = {guest.uuid: guest.reason for guest in before or ()}
        for guest in found:
            if guest.reason is not None and guest.reason != known.get(guest.uuid):
                LOG.info(
                    "Guest %s has no fingerprint: %s",
                    guest.uuid,
                    guest.reason.sentence,
                )
        return found != before

    def run(self) -> None:
        """Keep the list up to date until ``stop``."""
        while not self._stopping.is_set():
            if self._refresh_and_log():
                self._on_change()
            self._asked.wait(_REFRESH_SECONDS)
            self._asked.clear()

    def stop(self) -> None:
        """Make ``run`` return."""
        self._stopping.set()
        self._asked.set()

    def _refresh_and_log(self) -> bool:
        try:
            changed = self.refresh()
        except exceptions.MembuddiesError as error:
            if not self._failing:
                LOG.warning("%s The last list of guests stands until then.", error)
            self._failing = True
        except Exception:
            # One domain that libvirt or the kernel describes in a way nobody
            # foresaw must not end the agent.
            LOG.exception("Listing the guests failed; the last list stands")
        else:
            self._failing = False
            return changed
        return False
