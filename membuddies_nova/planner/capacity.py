# SPDX-License-Identifier: Apache-2.0
"""How many waiting guests fit, when one policy or another chooses their hosts.

For comparisons: nothing that is placed here is ever moved. Only real memory
limits: each guest arrives alone and must fit whole beside what is merged there.
Sharing counts globally, because the kernel knows no tenants.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from membuddies_nova.cluster import Guest, Host, Scope
from membuddies_nova.model.index import Classes
from membuddies_nova.model.occupancy import Occupancy
from membuddies_nova.model.sharing import PAGES_PER_MB, SharingModel
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.plan import HostUse
from membuddies_nova.planner.draft import uses
from membuddies_nova.planner.original import expected_sharing


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """What a policy has placed where.

    :ivar placed: guests that had no host and have one now
    """

    policy: str
    placed: int
    hosts: Mapping[str, HostUse]

    def to_json(self) -> dict[str, Any]:
        """The words of the command line's contract."""
        return {
            "policy": self.policy,
            "placed": self.placed,
            "hosts": {
                name: {
                    "pages": round(use.pages),
                    "mb": round(use.mb, 3),
                    "guests": list(use.guests),
                }
                for name, use in self.hosts.items()
            },
        }


def fill(snapshot: ClusterSnapshot, policy: str) -> Filling:
    """Place the guests without a host one by one, in the snapshot's order.

    A guest that fits nowhere is skipped; ties go to the first host.

    :param policy: one of ``POLICIES``
    :raises IncompatibleFingerprintsError: if the fingerprints' keys or seeds
        differ
    """
    model = SharingModel(snapshot, Scope.GLOBAL)
    occupancy = Occupancy(
        model,
        snapshot.hosts,
        {guest.uuid: guest.host for guest in snapshot.guests},
    )
    worth = POLICIES[policy](snapshot, occupancy)
    placed = 0
    for guest in snapshot.guests:
        if guest.host is not None:
            continue
        fitting = [host for host in snapshot.hosts if _fits(guest, host, occupancy)]
        if fitting:
            best = max(fitting, key=lambda host: worth(guest, host))
            occupancy.move(guest.uuid, best.name)
            placed += 1
    return Filling(policy=policy, placed=placed, hosts=uses(snapshot, occupancy))


_TYPICAL = 0.9
"""How much what others would share counts: less than all, because of each guest a
few pages are its own that its image has in common, and kin are to stay together."""

Worth = Callable[[Guest, Host], float]
"""What a policy thinks of a guest on a host; the highest wins."""


def _fits(guest: Guest, host: Host, occupancy: Occupancy) -> bool:
    there_mb = occupancy.pages(host.name) / PAGES_PER_MB
    return there_mb + guest.memory_mb + host.overhead_mb <= host.real_memory_mb


def _first_fit(snapshot: ClusterSnapshot, occupancy: Occupancy) -> Worth:
    return lambda guest, host: 0.0


def _union(snapshot: ClusterSnapshot, occupancy: Occupancy) -> Worth:
    """What the guest shares on a host beyond what others would share there.

    Most sharing alone would fill one host after another with whatever comes, as
    first-fit does: there is always something to share where guests are already. Room
    on a host is for those who share most of it, and a guest that would share less
    than most opens another host. The others are the guests that have been placed,
    for the next to come will be like them.
    """
    model = occupancy.model
    held = np.zeros((len(snapshot.hosts), len(snapshot.guests)))
    seen: dict[str, Classes] = {}
    typical: dict[str, float] = {}
    asked_for = ""

    def look() -> None:
        placed = [
            model.row(guest.uuid)
            for guest in snapshot.guests
            if occupancy.host_of(guest.uuid) is not None
        ]
        for row, host in enumerate(snapshot.hosts):
            there = occupancy.classes_on(host.name)
            if seen.get(host.name) is not there:
                seen[host.name] = there
                held[row] = model.classes.held_of(there) * host.merged_fraction
            typical[host.name] = float(held[row, placed].mean()) if placed else 0.0

    def worth(guest: Guest, host: Host) -> float:
        nonlocal asked_for
        if asked_for != guest.uuid:
            look()
            asked_for = guest.uuid
        shared = occupancy.shared_pages(guest.uuid, host.name)
        return shared - _TYPICAL * typical[host.name]

    return worth


def _original(snapshot: ClusterSnapshot, occupancy: Occupancy) -> Worth:
    """The published expected sharing with the guests that are there."""
    shares = occupancy.model.shared_matrix()

    def worth(guest: Guest, host: Host) -> float:
        rows = [occupancy.model.row(uuid) for uuid in occupancy.guests_on(host.name)]
        if not rows:
            return 0.0
        return expected_sharing(shares[occupancy.model.row(guest.uuid), np.array(rows)])

    return worth


def _ram_spread(snapshot: ClusterSnapshot, occupancy: Occupancy) -> Worth:
    """Nova's RAMWeigher: most unclaimed memory, of which it sees none below 0."""
    sizes = {guest.uuid: guest.memory_mb for guest in snapshot.guests}

    def worth(guest: Guest, host: Host) -> float:
        claimed = sum(sizes[uuid] for uuid in occupancy.guests_on(host.name))
        return max(host.real_memory_mb - claimed, 0)

    return worth


def _image(snapshot: ClusterSnapshot, occupancy: Occupancy) -> Worth:
    """Nova's ImagePropertiesWeigher, each image with properties of its own."""
    images = {guest.uuid: guest.image for guest in snapshot.guests}

    def worth(guest: Guest, host: Host) -> float:
        if guest.image is None:
            return 0.0
        there = occupancy.guests_on(host.name)
        return sum(images[uuid] == guest.image for uuid in there)

    return worth


POLICIES: Mapping[str, Callable[[ClusterSnapshot, Occupancy], Worth]] = {
    "union": _union,
    "original": _original,
    "first-fit": _first_fit,
    "ram-spread": _ram_spread,
    "image": _image,
}
