# SPDX-License-Identifier: Apache-2.0
"""The published placement rule, exactly: a reference that never runs.

Wood et al., "Memory Buddies: Exploiting Page Sharing for Smart Colocation in
Virtualized Data Centers" (VEE 2009), section 4.2. Hosts are filled from
nothing, one after another, with the pair that shares most and then with the
guests of the largest expected sharing. It knows pairwise sharing and memory
sizes only: no trust scope, no server group, no headroom, no order of moves.
"""

import numpy as np

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.model.index import Floats
from membuddies_nova.model.occupancy import Occupancy
from membuddies_nova.model.sharing import PAGES_PER_MB, SharingModel
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.plan import Goal, Move, Plan, Unplaced, Verdict
from membuddies_nova.planner.draft import hosts_freed, uses


def expected_sharing(shares: Floats) -> float:
    """``sum_i share(i) / i`` over shares ranked by descending size.

    :param shares: pages that one guest shares with each guest of a host
    """
    ranked = np.sort(shares)[::-1]
    return float((ranked / np.arange(1, len(ranked) + 1)).sum())


def original_plan(snapshot: ClusterSnapshot, model: SharingModel) -> Plan:
    """Where the published rule would put every guest, as moves of wave 0."""
    placed = _assignment(snapshot, model.shared_matrix())
    occupancy = Occupancy(
        model,
        snapshot.hosts,
        {guest.uuid: guest.host for guest in snapshot.guests},
    )
    before = uses(snapshot, occupancy)
    moves = []
    for guest in snapshot.guests:
        host = placed.get(guest.uuid)
        if host is None or host == guest.host:
            continue
        gain = occupancy.net_gain(guest.uuid, host)
        occupancy.move(guest.uuid, host)
        moves.append(
            Move(
                wave=0,
                guest=guest.uuid,
                source=guest.host,
                destination=host,
                gain_mb=gain.mb,
                error_mb=gain.error_mb,
                copy_mb=model.resident_pages(guest.uuid) / PAGES_PER_MB
                if guest.host is not None
                else 0.0,
                reason=f"the published rule fills {host} with it",
            )
        )
    homeless = [guest for guest in snapshot.guests if guest.uuid not in placed]
    after = uses(
        snapshot,
        Occupancy(
            model,
            snapshot.hosts,
            {guest.uuid: placed.get(guest.uuid) for guest in snapshot.guests},
        ),
    )
    first = [move.guest for move in moves if move.source is None]
    return Plan(
        strategy="original",
        goal=Goal.SHARE,
        scope=model.scope.value,
        shift=model.shift,
        before=before,
        after=after,
        moves=tuple(moves),
        unplaced=tuple(
            Unplaced(
                guest=guest.uuid,
                reason="the published rule finds no host with room for it",
            )
            for guest in homeless
        ),
        hosts_freed=hosts_freed(before, after),
        verdict=Verdict.MOVE if moves else Verdict.STAY,
        why=(
            "the published rule assigns guests to hosts anew; it is a reference and "
            "cannot be run"
        ),
        placed_mb=sum(map(model.unique_pages, first)) / PAGES_PER_MB,
    )


def _assignment(snapshot: ClusterSnapshot, shares: Floats) -> dict[str, str]:
    """The host of each guest that gets one."""
    guests = snapshot.guests
    left = list(range(len(guests)))
    hosts = sorted(snapshot.hosts, key=lambda host: -host.memory_mb)
    remaining_mb = {host.name: host.memory_mb for host in hosts}
    placed: dict[str, str] = {}

    def put(row: int, host: Host) -> None:
        placed[guests[row].uuid] = host.name
        remaining_mb[host.name] -= guests[row].memory_mb
        left.remove(row)

    for host in hosts:
        pair = _best_pair(guests, left, shares, host.memory_mb)
        if pair is None:
            continue
        for row in pair:
            put(row, host)
        members = list(pair)
        while left:
            # The last of equals: ties go to the guest that is later in the file.
            best = max(
                left, key=lambda row: (expected_sharing(shares[row, members]), row)
            )
            if not remaining_mb[host.name] > guests[best].memory_mb:
                break
            put(best, host)
            members.append(best)
    for row in [*left]:
        for host in snapshot.hosts:
            if remaining_mb[host.name] >= guests[row].memory_mb:
                put(row, host)
                break
    return placed


def _best_pair(
    guests: tuple[Guest, ...], left: list[int], shares: Floats, memory_mb: int
) -> tuple[int, int] | None:
    """The pair that shares most of those that fit; ties go to the first."""
    best: tuple[int, int] | None = None
    for at, a in enumerate(left):
        for b in left[at + 1 :]:
            if guests[a].memory_mb + guests[b].memory_mb > memory_mb:
                continue
            if shares[a, b] > (0.0 if best is None else shares[best]):
                best = (a, b)
    return best
