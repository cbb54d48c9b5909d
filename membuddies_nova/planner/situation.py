# SPDX-License-Identifier: Apache-2.0
"""Where every guest is at the moment when a rule judges a move.

Moves of one wave may run together and end in any order. So within a wave a
guest counts on both of its hosts, an arrival counts with its whole memory, and
what leaves frees nothing before the next wave.
"""

from collections.abc import Mapping
from typing import Self

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.model.occupancy import Occupancy
from membuddies_nova.model.sharing import PAGES_PER_MB
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.planner.limits import Limits


class Situation:
    """The cluster in thought: some moves are done, a wave is being filled.

    :ivar wave: number of the wave being filled, from 1
    """

    def __init__(
        self, snapshot: ClusterSnapshot, limits: Limits, occupancy: Occupancy
    ) -> None:
        self.snapshot = snapshot
        self.limits = limits
        self.occupancy = occupancy
        self.wave = 1
        self._arrivals: dict[str, list[str]] = {}
        self._departures: dict[str, list[str]] = {}
        self._start_pages: dict[str, float] = {}
        self._arrived_mb: dict[str, int] = {}
        self._groups = _members(snapshot)

    def next_wave(self) -> Self:
        """The same positions with an empty wave. Shares what is done so far."""
        return self._copy(self.occupancy, dict(self._arrived_mb), self.wave + 1)

    def fork(self) -> Self:
        """An independent copy, to try moves that may be given up."""
        copy = self._copy(self.occupancy.copy(), dict(self._arrived_mb), self.wave)
        copy._arrivals = {host: [*all_] for host, all_ in self._arrivals.items()}
        copy._departures = {host: [*all_] for host, all_ in self._departures.items()}
        copy._start_pages = dict(self._start_pages)
        return copy

    def _copy(
        self, occupancy: Occupancy, arrived_mb: dict[str, int], wave: int
    ) -> Self:
        copy = type(self).__new__(type(self))
        copy.snapshot, copy.limits, copy.occupancy = (
            self.snapshot,
            self.limits,
            occupancy,
        )
        copy.wave, copy._groups, copy._arrived_mb = wave, self._groups, arrived_mb
        copy._arrivals, copy._departures, copy._start_pages = {}, {}, {}
        return copy

    def move(self, guest: Guest, host: Host) -> None:
        """Add a move to the wave."""
        source = self.occupancy.host_of(guest.uuid)
        for name in (source, host.name):
            if name is not None and name not in self._start_pages:
                self._start_pages[name] = self.occupancy.pages(name)
        if source is not None:
            self._departures.setdefault(source, []).append(guest.uuid)
        self._arrivals.setdefault(host.name, []).append(guest.uuid)
        self._arrived_mb[host.name] = self.arrived_mb(host) + _whole_mb(guest, host)
        self.occupancy.move(guest.uuid, host.name)

    def source_of(self, guest: Guest) -> Host | None:
        """The host on which a guest ran before the plan."""
        if guest.host is None:
            return None
        return self.snapshot.hosts_by_name[guest.host]

    def moves_of(self, host: str) -> int:
        """Moves of this wave that the host is part of."""
        return len(self._arrivals.get(host, ())) + len(self._departures.get(host, ()))

    def present_on(self, host: Host) -> list[Guest]:
        """Guests that count on a host during the wave.

        Those there at its start, and those that arrive in it.
        """
        guests = self.snapshot.guests_by_uuid
        return [
            guests[uuid]
            for uuid in (
                *self.occupancy.guests_on(host.name),
                *self._departures.get(host.name, ()),
            )
        ]

    def needed_mb(self, host: Host, arrival: Guest) -> float:
        """Memory that a host needs until the wave's arrivals have merged."""
        pages = self._start_pages.get(host.name)
        if pages is None:
            pages = self.occupancy.pages(host.name)
        guests = self.snapshot.guests_by_uuid
        arriving = [guests[uuid] for uuid in self._arrivals.get(host.name, ())]
        return pages / PAGES_PER_MB + sum(
            _whole_mb(guest, host) for guest in (*arriving, arrival)
        )

    def arrived_mb(self, host: Host) -> int:
        """Whole memory of all guests that the plan has brought to a host."""
        return self._arrived_mb.get(host.name, 0)

    def group_hosts(self, guest: Guest) -> list[set[str]]:
        """For each other placed member of the guest's server group its hosts.

        One, or in the middle of its move two.
        """
        if guest.group is None:
            return []
        hosts = []
        for uuid in self._groups[guest.group.name]:
            host = self.occupancy.host_of(uuid)
            if uuid == guest.uuid or host is None:
                continue
            leaving = {
                source for source, left in self._departures.items() if uuid in left
            }
            hosts.append({host, *leaving})
        return hosts


def _whole_mb(guest: Guest, host: Host) -> int:
    """What an arrival takes before KSM has merged a page of it."""
    return guest.memory_mb + host.overhead_mb


def _members(snapshot: ClusterSnapshot) -> Mapping[str, tuple[str, ...]]:
    members: dict[str, list[str]] = {}
    for guest in snapshot.guests:
        if guest.group is not None:
            members.setdefault(guest.group.name, []).append(guest.uuid)
    return {name: tuple(uuids) for name, uuids in members.items()}
