# SPDX-License-Identifier: Apache-2.0
"""From the database's state of the cloud to a plan, and to a move's last check.

For the service. The planner is pure; here its input is read and its age is
judged. Nothing here asks Nova or writes.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from membuddies_nova import exceptions, planner
from membuddies_nova.cluster import Guest, Scope
from membuddies_nova.db import fingerprints, inventory, moves
from membuddies_nova.db.api import Session
from membuddies_nova.db.moves import OPEN, MoveRecord
from membuddies_nova.model.occupancy import Occupancy
from membuddies_nova.model.sharing import SharingModel
from membuddies_nova.model.snapshot import ClusterSnapshot, snapshot_of
from membuddies_nova.plan import Goal, Move, Plan
from membuddies_nova.planner import Limits
from membuddies_nova.planner.rules import RULES
from membuddies_nova.planner.situation import Situation
from membuddies_nova.rebalancer import history
from membuddies_nova.rebalancer.policy import Traffic

FRESH_SECONDS = 60
_LATEST_MOVES = 100


class StaleInventoryError(exceptions.MembuddiesError):
    """The inventory is too old to decide anything from it.

    :ivar age_seconds: None if there never was one
    """

    def __init__(self, age_seconds: float | None, limit_seconds: float) -> None:
        age = "missing" if age_seconds is None else f"{age_seconds:.0f} s old"
        super().__init__(
            f"the inventory is {age}, more than {limit_seconds:.0f} s are not "
            f"allowed; is membuddies-controller running, and does Nova answer it?"
        )
        self.age_seconds = age_seconds


class UnsettledInventoryError(exceptions.MembuddiesError):
    """The inventory does not show yet what our own moves have changed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator wants from every plan."""

    goal: Goal
    scope: Scope
    limits: Limits


@dataclasses.dataclass(frozen=True, slots=True)
class Proposal:
    """A plan, and what KSM would save by it, which knows no trust scopes."""

    plan: Plan
    saved_mb_global: float


def limits_of(group: Any) -> Limits:
    """How careful plans have to be, as the options of group `rebalancer` say."""
    return Limits(
        max_moves=group.max_moves_per_plan,
        min_gain_mb=group.min_gain_mb,
        cooldown_seconds=group.cooldown_seconds,
        cycle_seconds=group.cycle_seconds,
        copy_hours=group.copy_hours,
        pressure=group.pressure,
        scopes_apart=group.ksm_isolation,
    )


def require_inventory(session: Session, now: float, limit_seconds: float) -> float:
    """When the inventory was read.

    :raises StaleInventoryError: if it is older than ``limit_seconds``
    """
    read_at = inventory.state(session).read_at
    if read_at is None:
        raise StaleInventoryError(None, limit_seconds)
    if now - read_at > limit_seconds:
        raise StaleInventoryError(now - read_at, limit_seconds)
    return read_at


def require_settled_inventory(
    session: Session, now: float, limit_seconds: float
) -> None:
    """See that a whole plan can be judged: every move that ended is in there.

    :raises StaleInventoryError: if the inventory is older than ``limit_seconds``
    :raises UnsettledInventoryError: if it was read before our last move ended
    """
    read_at = require_inventory(session, now, limit_seconds)
    ended = moves.finished(session, since=read_at, limit=_LATEST_MOVES)
    if any(record.requested_at is not None for record in ended):
        raise UnsettledInventoryError(
            "the inventory was read before the last move ended; waiting for the next"
        )


def snapshot(session: Session, limits: Limits, now: float) -> ClusterSnapshot:
    """The cloud as the database knows it, with every fingerprint.

    :param limits: how far back earlier moves matter
    """
    guests = history.recorded(session, inventory.guests(session, now), limits, now)
    return snapshot_of(
        inventory.hosts(session, now),
        guests,
        fingerprints.bodies(session, [guest.uuid for guest in guests]),
    )


def with_traffic(
    current: ClusterSnapshot, traffic: Iterable[Traffic]
) -> ClusterSnapshot:
    """The same with the guests that are on their way counted on both hosts.

    Fresher than the inventory, which knows of those that were when it was read.
    """
    ways = {each.guest: {each.source, each.destination} for each in traffic}
    guests = []
    for guest in current.guests:
        elsewhere = ways.get(guest.uuid, set()) - {guest.host, None}
        if guest.uuid in ways:
            guest = dataclasses.replace(
                guest, migrating=True, other_host=min(map(str, elsewhere), default=None)
            )
        guests.append(guest)
    return dataclasses.replace(current, guests=tuple(guests))


def make(current: ClusterSnapshot, wishes: Wishes) -> Proposal:
    """A plan for the cloud as it is."""
    made = planner.plan(
        current, goal=wishes.goal, scope=wishes.scope, limits=wishes.limits
    )
    everywhere = planner.rescoped(current, made, Scope.GLOBAL)
    return Proposal(made, everywhere.saved_mb)


def refusal(
    session: Session,
    record: MoveRecord,
    siblings: Iterable[MoveRecord],
    wishes: Wishes,
    now: float,
) -> str | None:
    """Why the planner's rules forbid a move now, None if they allow it.

    How many moves a host may be part of is left to the caps, which know of the
    migrations of others, too.

    :param siblings: the moves of its plan. The done ones are taken to be where
        they went, even if the inventory was read before; those under way count on
        both hosts.
    :raises StaleInventoryError: if the inventory is older than a minute
    """
    read_at = require_inventory(session, now, FRESH_SECONDS)
    moved: dict[str, str] = {}
    under_way: dict[str, str] = {}
    siblings = list(siblings)
    done = [other for other in siblings if other.state == "done"]
    for other in siblings:
        if other.state in OPEN and other.id != record.id:
            under_way[other.move.guest] = other.move.destination
        elif other.state == "done" and (other.finished_at or now) >= read_at:
            moved[other.move.guest] = other.move.destination
    guests = [
        _since(guest, moved, under_way)
        for guest in history.recorded(
            session,
            inventory.guests(session, now),
            wishes.limits,
            now,
            apart_from=record.plan_id,
        )
    ]
    if any(other.move.guest == record.move.guest for other in done):
        # It waits where the plan itself has put it: no cooldown keeps it there.
        guests = [
            dataclasses.replace(guest, last_moved_seconds=None)
            if guest.uuid == record.move.guest
            else guest
            for guest in guests
        ]
    concerned = [
        guest.uuid
        for guest in guests
        if guest.host in (record.move.source, record.move.destination)
    ]
    current = snapshot_of(
        inventory.hosts(session, now),
        guests,
        fingerprints.bodies(session, concerned),
    )
    return _stop(current, record.move, under_way, wishes)


def _since(
    guest: Guest, moved: Mapping[str, str], under_way: Mapping[str, str]
) -> Guest:
    """A guest with what its plan's own moves have made of it since the inventory.

    One that is under way yet is left to who counts that on both of its hosts.
    """
    if guest.uuid in moved:
        # The move was done when Nova had the guest there, active and without a task.
        return dataclasses.replace(
            guest,
            host=moved[guest.uuid],
            other_host=None,
            status="ACTIVE",
            task_state=None,
            migrating=False,
        )
    if guest.other_host == under_way.get(guest.uuid):
        return dataclasses.replace(guest, other_host=None)
    return guest


def _stop(
    current: ClusterSnapshot, move: Move, under_way: Mapping[str, str], wishes: Wishes
) -> str | None:
    """The first rule that stops a move beside those under way."""
    guest = current.guests_by_uuid.get(move.guest)
    host = current.hosts_by_name.get(move.destination)
    if guest is None or host is None:
        return f"guest or host {move.destination} is no longer in the inventory"
    model = SharingModel(current, wishes.scope, across_keys=True)
    situation = Situation(
        current,
        wishes.limits,
        Occupancy(
            model,
            current.hosts,
            {other.uuid: other.host for other in current.guests},
        ),
    )
    for uuid, destination in under_way.items():
        arriving = current.guests_by_uuid.get(uuid)
        if arriving is not None and arriving.host != destination:
            situation.move(arriving, current.hosts_by_name[destination])
    rules = RULES.without("moves-per-host")
    for rule in (*rules.guest, *rules.pair, *rules.situation):
        if sentence := rule.stops(guest, host, situation):
            return f"{rule.name}: {sentence}"
    return None
