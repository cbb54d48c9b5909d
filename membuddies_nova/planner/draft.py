# SPDX-License-Identifier: Apache-2.0
"""A plan while it is being written: every move in it has passed every rule.

Searches decide which move to add; a draft decides whether it may be added, and
to which wave.
"""

import dataclasses
from collections.abc import Sequence

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.model.occupancy import Occupancy
from membuddies_nova.model.sharing import PAGES_PER_MB, SharingModel
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.plan import Goal, HostUse, Move, Plan, Unplaced, Verdict
from membuddies_nova.planner import cost
from membuddies_nova.planner.limits import Limits
from membuddies_nova.planner.rules import RuleBook
from membuddies_nova.planner.situation import Situation


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """A rule that stops a move, and why."""

    rule: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.sentence}"


class Draft:
    """Moves that may run in the order of their waves, and their effects.

    A guest is moved at most once, or twice if it has to wait on a third host.

    :ivar moves: what has been added so far, in that order
    :ivar unplaced: guests for which no host was found
    :ivar situation: the cluster after the moves so far
    """

    def __init__(
        self,
        snapshot: ClusterSnapshot,
        model: SharingModel,
        limits: Limits,
        rules: RuleBook,
    ) -> None:
        self.snapshot = snapshot
        self.model = model
        self.limits = limits
        self.rules = rules
        self.moves: list[Move] = []
        self.unplaced: list[Unplaced] = []
        self._moved: set[str] = set()
        self.situation = Situation(
            snapshot,
            limits,
            Occupancy(
                model,
                snapshot.hosts,
                {guest.uuid: guest.host for guest in snapshot.guests},
            ),
        )
        self._before = uses(snapshot, self.occupancy)

    @property
    def occupancy(self) -> Occupancy:
        """Where everything is after the moves so far."""
        return self.situation.occupancy

    @property
    def hosts_freed(self) -> tuple[str, ...]:
        """Hosts whose last guest has gone."""
        return hosts_freed(self._before, uses(self.snapshot, self.occupancy))

    @property
    def moves_left(self) -> int | None:
        """How many more moves the plan may have, None for any number."""
        if self.limits.max_moves is None:
            return None
        return max(self.limits.max_moves - len(self.moves), 0)

    def fork(self) -> "Draft":
        """An independent copy, to try moves that may be given up."""
        copy = Draft.__new__(Draft)
        copy.__dict__.update(self.__dict__)
        copy.moves, copy.unplaced = [*self.moves], [*self.unplaced]
        copy._moved = set(self._moved)
        copy.situation = self.situation.fork()
        return copy

    def copy_mb(self, guest: Guest) -> float:
        """What a migration of the guest copies."""
        return cost.copy_mb(guest, self._resident_mb(guest), self.limits)

    def least_gain_mb(self, guest: Guest) -> float:
        """What a move of the guest must save to be worth it."""
        return cost.least_gain_mb(guest, self._resident_mb(guest), self.limits)

    def is_fixed(self, guest: Guest) -> bool:
        """Whether the guest stays whatever the destination."""
        host = self.snapshot.hosts[0]
        return guest.uuid in self._moved or (
            guest.host is not None
            and any(
                rule.stops(guest, host, self.situation) for rule in self.rules.guest
            )
        )

    def is_moved(self, guest: Guest) -> bool:
        """Whether the draft moves the guest."""
        return guest.uuid in self._moved

    def stop_of(self, guest: Guest, host: Host) -> Stop | None:
        """The rule that stops a move in whatever wave."""
        found = self._wave_for(guest, host)
        return found if isinstance(found, Stop) else None

    def try_park(self, guest: Guest, host: Host, target: Host) -> Stop | None:
        """Add a move to a host where the guest waits for its place elsewhere."""
        source = self.occupancy.host_of(guest.uuid)
        reason = f"waits there for its place on {target.name}: {source} is needed"
        return self.try_move(guest, host, reason)

    def try_move(self, guest: Guest, host: Host, reason: str = "") -> Stop | None:
        """Add a move to the first wave that can take it.

        :param reason: of the move, if it is not what it shares
        :returns: None if it was added, or the rule that stops it
        """
        found = self._wave_for(guest, host)
        if isinstance(found, Stop):
            return found
        gain = self.occupancy.net_gain(guest.uuid, host.name)
        source = self.occupancy.host_of(guest.uuid)
        first = source is None
        self.moves.append(
            Move(
                wave=found.wave,
                guest=guest.uuid,
                source=source,
                destination=host.name,
                gain_mb=gain.mb,
                error_mb=gain.error_mb,
                copy_mb=0.0 if first else self.copy_mb(guest),
                reason=reason or self._reason(guest, source, host),
                checks=self.rules.without_guest_rules if first else self.rules.names,
            )
        )
        self._moved.add(guest.uuid)
        found.move(guest, host)
        return None

    def try_best(
        self, guest: Guest, hosts: Sequence[Host], reason: str = ""
    ) -> Stop | None:
        """Move a guest where it shares most of the hosts that may take it.

        Ties go to the first host.

        :param reason: of the move, if it is not what it shares
        :returns: None, or what stops it at the host where it would share most
        """
        ranked = sorted(
            hosts,
            key=lambda host: -self.occupancy.shared_pages(guest.uuid, host.name),
        )
        return self.try_first(guest, ranked, reason)

    def try_first(
        self, guest: Guest, hosts: Sequence[Host], reason: str = ""
    ) -> Stop | None:
        """Move a guest to the first of some hosts that may take it.

        :param reason: of the move, if it is not what it shares
        :returns: None, or what stops it at the first of them
        """
        first: Stop | None = None
        for host in hosts:
            stop = self.try_move(guest, host, reason)
            if stop is None:
                return None
            first = first or stop
        return first or Stop("hosts", "there is none")

    def plan(self, strategy: str, goal: Goal, why: str) -> Plan:
        """The plan as it stands.

        :param why: the verdict's reason in one sentence
        """
        before, after = self._before, uses(self.snapshot, self.occupancy)
        placed = [move.guest for move in self.moves if move.source is None]
        return Plan(
            strategy=strategy,
            goal=goal,
            scope=self.model.scope.value,
            shift=self.model.shift,
            before=before,
            after=after,
            # Of moves with a host or a group in common the order stays.
            moves=tuple(sorted(self.moves, key=lambda move: move.wave)),
            unplaced=tuple(self.unplaced),
            hosts_freed=hosts_freed(before, after),
            verdict=Verdict.MOVE if self.moves else Verdict.STAY,
            why=why,
            placed_mb=sum(map(self.model.unique_pages, placed)) / PAGES_PER_MB,
        )

    def _wave_for(self, guest: Guest, host: Host) -> Situation | Stop:
        """The first wave that can take a move: its hosts' last, or the next."""
        rules = (*(() if guest.host is None else self.rules.guest), *self.rules.pair)
        for rule in rules:
            if sentence := rule.stops(guest, host, self.situation):
                return Stop(rule.name, sentence)
        stop: Stop | None = None
        for wave in self.situation.waves_for(guest, host):
            situation = self.situation.in_wave(wave)
            stop = self._situation_stop(guest, host, situation)
            if stop is None:
                return situation
        assert stop is not None
        return stop

    def _situation_stop(
        self, guest: Guest, host: Host, situation: Situation
    ) -> Stop | None:
        for rule in self.rules.situation:
            if sentence := rule.stops(guest, host, situation):
                return Stop(rule.name, sentence)
        return None

    def _resident_mb(self, guest: Guest) -> float:
        return self.model.resident_pages(guest.uuid) / PAGES_PER_MB

    def _reason(self, guest: Guest, source: str | None, host: Host) -> str:
        there = self.occupancy.shared_pages(guest.uuid, host.name) / PAGES_PER_MB
        if source is None:
            return f"shares {there:.0f} MB with the guests on {host.name}"
        here = self.occupancy.shared_pages(guest.uuid, source) / PAGES_PER_MB
        return (
            f"shares {there:.0f} MB with the guests on {host.name}, and {here:.0f} "
            f"MB with those on {source}"
        )


def uses(snapshot: ClusterSnapshot, occupancy: Occupancy) -> dict[str, HostUse]:
    """What every host holds, in the snapshot's order."""
    return {
        host.name: HostUse(
            pages=occupancy.pages(host.name), guests=occupancy.guests_on(host.name)
        )
        for host in snapshot.hosts
    }


def hosts_freed(
    before: dict[str, HostUse], after: dict[str, HostUse]
) -> tuple[str, ...]:
    """Hosts whose last guest has gone."""
    return tuple(
        name for name, use in before.items() if use.guests and not after[name].guests
    )
