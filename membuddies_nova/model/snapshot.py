# SPDX-License-Identifier: Apache-2.0
"""The cluster at one moment: the whole input of the model and the planner.

Whoever has rows or files makes a snapshot of them; nothing here reads any.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping

from membuddies_nova import exceptions
from membuddies_nova.cluster import Guest, Host
from membuddies_nova.fingerprint import codec
from membuddies_nova.fingerprint.sample import Sample


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterSnapshot:
    """Hosts, guests and the guests' fingerprints at one moment.

    :ivar hosts: in an order that breaks ties, such as the scenario file's
    :ivar guests: likewise; a guest whose host is None is not placed yet
    :ivar samples: by guest uuid; a guest may have none
    :ivar unreadable: uuids of guests whose stored fingerprint is damaged
    :raises InputError: for a name that is given twice or a host that is not
        in the snapshot
    """

    hosts: tuple[Host, ...]
    guests: tuple[Guest, ...]
    samples: Mapping[str, Sample]
    unreadable: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.hosts_by_name) != len(self.hosts):
            raise exceptions.InputError(
                f"host {_repeated(host.name for host in self.hosts)!r} is given "
                f"twice; names must differ"
            )
        if len(self.guests_by_uuid) != len(self.guests):
            raise exceptions.InputError(
                f"guest {_repeated(guest.uuid for guest in self.guests)!r} is "
                f"given twice; names must differ"
            )
        for guest in self.guests:
            if guest.host is not None and guest.host not in self.hosts_by_name:
                raise exceptions.InputError(
                    f"guest {guest.name!r} is on host {guest.host!r}, which is not "
                    f"among the hosts"
                )

    @functools.cached_property
    def hosts_by_name(self) -> Mapping[str, Host]:
        return {host.name: host for host in self.hosts}

    @functools.cached_property
    def guests_by_uuid(self) -> Mapping[str, Guest]:
        return {guest.uuid: guest for guest in self.guests}

    @functools.cached_property
    def _guests_by_host(self) -> Mapping[str, tuple[Guest, ...]]:
        by_host: dict[str, list[Guest]] = {host.name: [] for host in self.hosts}
        for guest in self.guests:
            if guest.host is not None:
                by_host[guest.host].append(guest)
        return {name: tuple(guests) for name, guests in by_host.items()}

    def guests_on(self, host: str) -> tuple[Guest, ...]:
        """The guests that run on a host, in the snapshot's order."""
        return self._guests_by_host[host]

    def thinned(self, shift: int) -> "ClusterSnapshot":
        """The same with samples no finer than a shift."""
        return dataclasses.replace(
            self,
            samples={
                guest: sample.thinned(max(shift, sample.shift))
                for guest, sample in self.samples.items()
            },
        )


def snapshot_of(
    hosts: Iterable[Host], guests: Iterable[Guest], bodies: Mapping[str, bytes]
) -> ClusterSnapshot:
    """The snapshot of a running cloud, from the rows of the database.

    Guests that no known host runs (being built, shelved, on a host that is no
    longer in the inventory) are left out: nothing here could move them. A guest
    that is shut off is there without its last fingerprint: none of these pages
    can be shared, and it needs its whole memory when it is started again.

    :param bodies: encoded fingerprints by guest uuid
    """
    known_hosts = tuple(hosts)
    names = {host.name for host in known_hosts}
    placed = tuple(guest for guest in guests if guest.host in names)
    samples: dict[str, Sample] = {}
    unreadable = []
    for guest in placed:
        body = bodies.get(guest.uuid)
        if body is None or not guest.has_memory:
            continue
        try:
            samples[guest.uuid] = codec.decode(body)
        except exceptions.FingerprintError:
            unreadable.append(guest.uuid)
    return ClusterSnapshot(
        hosts=known_hosts,
        guests=placed,
        samples=samples,
        unreadable=tuple(unreadable),
    )


def _repeated(names: Iterable[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    raise AssertionError("no name is repeated")
