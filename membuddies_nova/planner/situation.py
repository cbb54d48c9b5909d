# SPDX-License-Identifier: Apache-2.0
"""Where every guest is at the moment when a rule judges a move.

Moves of one wave may run together and end in any order. So within a wave a
guest counts on both of its hosts, an arrival counts with its whole memory, and
what leaves frees nothing before the next wave.

A host takes part in wave after wave: a move may be put into any wave that is not
before the last one of its hosts and its server group, for nothing that a rule
looks at has changed between.
"""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Self

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.model.occupancy import Occupancy
from membuddies_nova.model.sharing import PAGES_PER_MB
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.planner.limits import Limits


@dataclasses.dataclass(slots=True)
class _HostWave:
    """The last wave in which a host takes part.

    :ivar start_pages: unique pages there before the wave
    :ivar arrivals: uuids of guests that arrive in it
    :ivar departures: uuids of guests that leave in it
    """

    number: int
    start_pages: float
    arrivals: list[str] = dataclasses.field(default_factory=list)
    departures: list[str] = dataclasses.field(default_factory=list)


class Situation:
    """The cluster in thought: some moves are made, another is judged.

    :ivar wave: number of the wave in which moves are judged and made, from 1
    """

    def __init__(
        self, snapshot: ClusterSnapshot, limits: Limits, occupancy: Occupancy
    ) -> None:
        self.snapshot = snapshot
        self.limits = limits
        self.occupancy = occupancy
        self.wave = 1
        self._host_waves: dict[str, _HostWave] = {}
        self._group_waves: dict[str, int] = {}
        self._guest_waves: dict[str, int] = {}
        self._arrived_mb: dict[str, int] = {}
        self._groups = _members(snapshot)
        self._also_on = _also_on(snapshot)

    def in_wave(self, wave: int) -> Self:
        """The same cluster, to judge and make moves in another wave.

        What is made in one is made in the other.
        """
        view = copy.copy(self)
        view.wave = wave
        return view

    def fork(self) -> Self:
        """An independent copy, to try moves that may be given up."""
        fork = copy.copy(self)
        fork.occupancy = self.occupancy.copy()
        fork._host_waves = copy.deepcopy(self._host_waves)
        fork._group_waves = dict(self._group_waves)
        fork._guest_waves = dict(self._guest_waves)
        fork._arrived_mb = dict(self._arrived_mb)
        return fork

    def waves_for(self, guest: Guest, host: Host) -> tuple[int, ...]:
        """The waves that may take a move, earliest first.

        The last one that changed anything for it, unless the guest itself was
        moved in that, and the next.
        """
        source = self.occupancy.host_of(guest.uuid)
        waves = [
            self._host_waves[name].number
            for name in (source, host.name)
            if name in self._host_waves
        ]
        if guest.group is not None:
            waves.append(self._group_waves.get(guest.group.name, 0))
        last = max(waves, default=0)
        if last == 0 or last == self._guest_waves.get(guest.uuid):
            return (last + 1,)
        return (last, last + 1)

    def move(self, guest: Guest, host: Host) -> None:
        """Make a move in this wave, one of ``waves_for`` it."""
        source = self.occupancy.host_of(guest.uuid)
        if source is not None:
            self._enter(source).departures.append(guest.uuid)
        self._enter(host.name).arrivals.append(guest.uuid)
        if guest.group is not None:
            self._group_waves[guest.group.name] = self.wave
        self._guest_waves[guest.uuid] = self.wave
        self.put(guest, host)

    def put(self, guest: Guest, host: Host) -> None:
        """Let a guest have arrived, in a wave of no interest."""
        self._arrived_mb[host.name] = self.arrived_mb(host) + _whole_mb(guest, host)
        self.occupancy.move(guest.uuid, host.name)

    def lift(self, guest: Guest, host: Host) -> None:
        """Undo ``put``: the guest is nowhere."""
        self._arrived_mb[host.name] = self.arrived_mb(host) - _whole_mb(guest, host)
        self.occupancy.lift(guest.uuid)

    def source_of(self, guest: Guest) -> Host | None:
        """The host on which a guest ran before the plan."""
        if guest.host is None:
            return None
        return self.snapshot.hosts_by_name[guest.host]

    def resident_mb(self, guest: Guest) -> float:
        """Memory of the guest that is present."""
        return self.occupancy.model.resident_pages(guest.uuid) / PAGES_PER_MB

    def moves_of(self, host: str) -> int:
        """Moves of this wave that the host is part of."""
        part = self._part_of(host)
        return len(part.arrivals) + len(part.departures)

    def present_on(self, host: Host) -> list[Guest]:
        """Guests that count on a host during the wave.

        Those there at its start, those that arrive in it, and those that Placement
        counts there besides their own host.
        """
        guests = self.snapshot.guests_by_uuid
        return [
            guests[uuid]
            for uuid in (
                *self.occupancy.guests_on(host.name),
                *self._part_of(host.name).departures,
                *self._also_on.get(host.name, ()),
            )
        ]

    def staying_on(self, host: str) -> list[Guest]:
        """Guests that are on a host whatever becomes of the wave's moves."""
        guests, part = self.snapshot.guests_by_uuid, self._part_of(host)
        return [
            guests[uuid]
            for uuid in self.occupancy.guests_on(host)
            if uuid not in part.arrivals and guests[uuid].other_host is None
        ]

    def needed_mb(self, host: Host, arrival: Guest) -> float:
        """Memory that a host needs until the wave's arrivals have merged."""
        guests = self.snapshot.guests_by_uuid
        part = self._part_of(host.name)
        arriving = [
            guests[uuid] for uuid in (*part.arrivals, *self._also_on.get(host.name, ()))
        ]
        return part.start_pages / PAGES_PER_MB + sum(
            _whole_mb(guest, host) for guest in (*arriving, arrival)
        )

    def arrived_mb(self, host: Host) -> int:
        """Whole memory of all guests that the plan has brought to a host."""
        return self._arrived_mb.get(host.name, 0)

    def group_hosts(self, guest: Guest) -> list[set[str]]:
        """For each other placed member of the guest's server group its hosts.

        One, or in the middle of a move two.
        """
        if guest.group is None:
            return []
        hosts = []
        for uuid in self._groups[guest.group.name]:
            host = self.occupancy.host_of(uuid)
            if uuid == guest.uuid or host is None:
                continue
            leaving = {
                source
                for source, part in self._host_waves.items()
                if part.number == self.wave and uuid in part.departures
            }
            other_host = self.snapshot.guests_by_uuid[uuid].other_host
            hosts.append({host, *leaving, *([other_host] if other_host else ())})
        return hosts

    def _part_of(self, host: str) -> _HostWave:
        """What a host does in this wave, nothing if it takes no part yet."""
        part = self._host_waves.get(host)
        if part is not None and part.number == self.wave:
            return part
        return _HostWave(self.wave, self.occupancy.pages(host))

    def _enter(self, host: str) -> _HostWave:
        part = self._host_waves[host] = self._part_of(host)
        return part


def _also_on(snapshot: ClusterSnapshot) -> Mapping[str, list[str]]:
    also: dict[str, list[str]] = {}
    for guest in snapshot.guests:
        if guest.other_host not in (None, guest.host):
            also.setdefault(str(guest.other_host), []).append(guest.uuid)
    return also


def _whole_mb(guest: Guest, host: Host) -> int:
    """What an arrival takes before KSM has merged a page of it."""
    return guest.memory_mb + host.overhead_mb


def _members(snapshot: ClusterSnapshot) -> Mapping[str, tuple[str, ...]]:
    members: dict[str, list[str]] = {}
    for guest in snapshot.guests:
        if guest.group is not None:
            members.setdefault(guest.group.name, []).append(guest.uuid)
    return {name: tuple(uuids) for name, uuids in members.items()}
