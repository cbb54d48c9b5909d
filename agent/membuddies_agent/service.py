# SPDX-License-Identifier: Apache-2.0
"""The agent as a service: its parts, wired, and one thread for each loop.

The roster follows libvirt, the scanner reads guests, the reporter talks to the
controller. None of them waits for another: a hanging libvirt stops neither
scans nor reports, an absent controller stops no scan.
"""

import threading
import time

from oslo_config import cfg
from oslo_log import log as logging

from membuddies_agent import capabilities
from membuddies_agent.host_facts import HostFactsReader
from membuddies_agent.libvirt_domains import LibvirtDomains
from membuddies_agent.pace import Pace
from membuddies_agent.reporter import Reporter
from membuddies_agent.roster import Roster
from membuddies_agent.scanner import Scanner
from membuddies_agent.shelf import Shelf
from membuddies_agent.source import Choice
from membuddies_agent.way import GuestWay, HostWay
from membuddies_nova import exceptions
from membuddies_nova.bus.client import AgentClient
from membuddies_nova.conf import agent
from membuddies_nova.facts import Source
from membuddies_nova.fingerprint import seal

LOG = logging.getLogger(__name__)

_STOP_SECONDS = 10.0
"""A loop that is held up elsewhere is not waited for any longer."""


class AgentService:
    """One compute node's agent.

    :param conf: ``[agent]`` and the bus's ``[membuddies]`` are read from it
    :raises ConfigurationError: if the key file is missing or unsafe, or the bus
        is not configured
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        agent.register(conf)
        self._conf = conf
        options = conf[agent.GROUP]
        started = int(time.time() * 1000)
        keys = seal.KeyFile(options.key_file)
        shelf = Shelf(started, keys.ring.first)
        self._client = AgentClient(conf, options.host, lambda: shelf.key)
        # libvirt's event asks the roster, and the roster the reporter.
        self._domains = LibvirtDomains(options.libvirt_uri, self._on_domain_change)
        self._source = Source(options.fingerprint_source)
        self._missing = capabilities.missing_to_read_memory(capabilities.effective())
        self._roster = Roster(
            self._domains.list,
            self._on_new_roster,
            options.min_guest_age_seconds,
            Choice(default=self._source, host_may_read=not self._missing),
        )
        self._host_way = HostWay(
            seed=options.seed,
            core_share=options.scan_core_share,
            bytes_per_second=options.scan_mb_per_second * 2**20,
        )
        self._guest_way = GuestWay(
            uri=options.guest_agent_uri or options.libvirt_uri,
            seed=options.seed,
            timeout_seconds=options.guest_trace_seconds,
        )
        # Each way has its thread: a guest that is slow to answer keeps only
        # those waiting that are asked, too.
        self._paces = {
            way.source: Pace(*_scan_intervals(options))
            for way in (self._host_way, self._guest_way)
        }
        self._scanners = {
            way.source: Scanner(
                lambda: self._roster.guests or (), shelf, self._paces[way.source], way
            )
            for way in (self._host_way, self._guest_way)
        }
        self._reporter = Reporter(
            self._client,
            host=options.host,
            started=started,
            list_guests=lambda: self._roster.guests,
            shelf=shelf,
            host_facts=HostFactsReader(),
            keys=keys,
            period_seconds=options.report_period_seconds,
            scan_soon=self._hurry,
            tell_sources=self._roster.tell,
        )
        self._threads = [
            threading.Thread(target=part.run, name=name, daemon=True)
            for name, part in (
                ("roster", self._roster),
                ("scanner", self._scanners[Source.HOST]),
                ("guest-scanner", self._scanners[Source.GUEST]),
                ("reporter", self._reporter),
            )
        ]

    def start(self) -> None:
        """Start the loops."""
        if self._missing and self._source is Source.HOST:
            LOG.warning(
                "The agent lacks %s: guests of other users cannot be read, or "
                "the kernel's zero page not told apart. Run it as root or add "
                "AmbientCapabilities to its systemd unit.",
                " and ".join(self._missing),
            )
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the loops; a scan or a call that is under way is given up."""
        self._roster.stop()
        for scanner in self._scanners.values():
            scanner.stop()
        self._reporter.stop()
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._domains.close()
        self._client.close()

    def wait(self) -> None:
        """Return when the loops have ended."""
        for thread in self._threads:
            thread.join()

    def reset(self) -> None:
        """At SIGHUP: take the new options, and report at once.

        A report also reads the key file again.

        :raises ConfigurationError: if two options contradict each other
        """
        options = self._conf[agent.GROUP]
        shortest, longest = _scan_intervals(options)
        for pace in self._paces.values():
            pace.shortest_seconds = shortest
            pace.longest_seconds = longest
        self._host_way.budget.core_share = options.scan_core_share
        self._host_way.budget.bytes_per_second = options.scan_mb_per_second * 2**20
        self._guest_way.timeout_seconds = options.guest_trace_seconds
        self._roster.min_age_seconds = options.min_guest_age_seconds
        self._reporter.period_seconds = options.report_period_seconds
        self._reporter.ask()

    def _hurry(self, uuid: str) -> None:
        """Have a guest scanned at the next turn of its scanner."""
        for guest in self._roster.guests or ():
            if guest.uuid == uuid:
                self._paces[guest.source].hurry(uuid)

    def _on_domain_change(self) -> None:
        self._roster.ask()

    def _on_new_roster(self) -> None:
        self._reporter.ask()


def _scan_intervals(options: cfg.ConfigOpts.GroupAttr) -> tuple[float, float]:
    """The shortest and the longest interval between two scans of a guest.

    :raises ConfigurationError: if the shortest is the longer one
    """
    shortest, longest = options.scan_interval_seconds, options.scan_interval_max_seconds
    if longest < shortest:
        raise exceptions.ConfigurationError(
            f"[agent] scan_interval_max_seconds {longest:g} is less than "
            f"scan_interval_seconds {shortest:g}; make it at least as long"
        )
    return shortest, longest
