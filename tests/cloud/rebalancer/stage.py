# SPDX-License-Identifier: Apache-2.0
"""Where the tests of the rebalancer play: guests, rebalancers, and a look at both.

Two pairs of guests, each of one project and one role, so that plans join the guests
of a pair and nothing else: sharing counts within a project only.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy

from membuddies_nova.db import (
    fingerprints,
    inventory,
    leases,
    models,
    moves,
    plans,
    services,
)
from membuddies_nova.db.api import Database
from membuddies_nova.db.moves import MoveRecord
from membuddies_nova.db.plans import PlanRecord
from tests.cloud.lab.buddies import Buddies
from tests.cloud.lab.cloud import Cloud
from tests.cloud.lab.errors import LabError
from tests.cloud.lab.guests import Guest, Guests
from tests.cloud.lab.images import GuestImage
from tests.cloud.lab.layout import database_url

from .nova_proxy import NovaProxy

BINARY = "membuddies-rebalancer"
LEASE_SECONDS = 3
_HASTE: dict[str, object] = {
    "interface": "internal",
    "period_seconds": 1,
    "poll_seconds": 0.2,
    "lease_seconds": LEASE_SECONDS,
    "cooldown_seconds": 0,
    "max_moves_per_hour": 1000,
}
_FULL_SPEED_MB = 10_000
_CRAWL_MB = 1


@dataclass(frozen=True)
class Pair:
    """Two guests of one tenant that share nearly all of their memory."""

    guests: Guests
    members: tuple[Guest, Guest]


@dataclass
class Stage:
    """The guests on a cloud, and the rebalancers that a test starts.

    Every wait is for what the database or Nova says.
    """

    cloud: Cloud
    buddies: Buddies
    proxy: NovaProxy
    pairs: tuple[Pair, ...] = ()
    _running: list[str] = field(default_factory=list)
    _newest_migration: int = 0

    def __post_init__(self) -> None:
        self.database = Database(database_url("membuddies", "membuddies"))
        self.nova = self.cloud.connect().compute

    # Guests ------------------------------------------------------------------

    def boot(self) -> None:
        """Boots the pairs and waits for their fingerprints."""
        image = GuestImage("web")
        begun = []
        for tenant in ("red", "blue"):
            guests = self.cloud.guests(tenant)
            members = [
                guests.start(f"{tenant}-{number}", image, host)
                for number, host in enumerate(self.cloud.hosts[:2])
            ]
            begun.append(Pair(guests, (members[0], members[1])))
            self.pairs = tuple(begun)
        for pair in self.pairs:
            pair.guests.wait_until_ready(pair.members)
        ready_at = time.time()
        wanted = {guest.id for pair in self.pairs for guest in pair.members}

        def known() -> bool:
            with self.database.reader() as session:
                return wanted <= {
                    each.guest
                    for each in fingerprints.summaries(session)
                    if each.scanned_at >= ready_at
                }

        self.until(known, "not all guests have a fingerprint since they booted")

    def close(self) -> None:
        """Deletes the guests."""
        for pair in self.pairs:
            pair.guests.delete(pair.members)
        self.database.close()

    def host(self, guest: str) -> str:
        """Where a guest is, by Nova."""
        return str(self.nova.get_server(guest).compute_host)

    def migrations(self, guest: str) -> list[Any]:
        """A guest's migration records since the test began, the oldest first."""
        found = [
            record
            for record in self.nova.migrations(instance_uuid=guest)
            if record.id > self._newest_migration
        ]
        return sorted(found, key=lambda record: int(record.id))

    @property
    def all_migrations(self) -> list[Any]:
        """Those of all guests since the test began."""
        return [
            record
            for record in self.nova.migrations()
            if record.id > self._newest_migration
        ]

    @contextlib.contextmanager
    def crawling(self, guest: str) -> Iterator[Callable[[], None]]:
        """Lets a guest's live migration crawl until the yielded function is called."""
        source = self.host(guest)
        self._set_speed(guest, source, _CRAWL_MB)
        try:
            yield lambda: self._set_speed(guest, source, _FULL_SPEED_MB)
        finally:
            if self.host(guest) == source:
                self._set_speed(guest, source, _FULL_SPEED_MB)

    def _set_speed(self, guest: str, host: str, mb_per_second: int) -> None:
        self.cloud.virsh(host, "migrate-setspeed", guest, str(mb_per_second))

    # The beginning of every test ----------------------------------------------

    def set(self) -> None:
        """As after booting: pairs apart, nothing planned, no rebalancer."""
        self.proxy.reset()
        self.clear()
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._part, self.pairs))
        with self.database.writer() as session:
            for table in (models.Move, models.Plan, models.Lease, models.Switch):
                session.execute(sqlalchemy.delete(table))
        self._newest_migration = max(
            (record.id for record in self.nova.migrations()), default=0
        )

    def clear(self) -> None:
        """Ends the rebalancers of a test, and lets nobody miss them."""
        for name in self._running:
            self.cloud.stop_service(f"{BINARY}-{name}")
        self._running.clear()
        with self.database.writer() as session:
            session.execute(
                sqlalchemy.delete(models.Service).where(models.Service.binary == BINARY)
            )

    def _part(self, pair: Pair) -> None:
        one, other = pair.members
        host = pair.guests.host(one)
        if host == pair.guests.host(other):
            away = next(name for name in self.cloud.hosts if name != host)
            migration = pair.guests.live_migrate(one, away)
            if migration.status != "completed":
                raise LabError(f"the pair was not parted: {migration}")

    # Rebalancers ---------------------------------------------------------------

    def start(self, name: str = "one", mode: str = "recommend", **more: object) -> None:
        """Starts a rebalancer that loses no time, before whose Nova is the proxy."""
        self.buddies.start_rebalancer(mode, name, **(_HASTE | more))
        self._running.append(name)

    def reload(
        self, name: str = "one", mode: str = "recommend", **more: object
    ) -> None:
        """Lets a rebalancer read other options, as SIGHUP does."""
        self.buddies.reload_rebalancer(mode, name, **(_HASTE | more))

    def kill(self, name: str) -> None:
        """Ends a rebalancer in the midst of whatever it does."""
        self.cloud.kill_service(f"{BINARY}-{name}", signal.SIGKILL)
        self.until(
            lambda: not self.cloud.service_processes(f"{BINARY}-{name}"),
            f"rebalancer {name} survives SIGKILL",
        )
        self.cloud.stop_service(f"{BINARY}-{name}")
        self._running.remove(name)

    def log(self, name: str = "one") -> str:
        """What a rebalancer has logged; also what former ones of that name have."""
        return self.cloud.service_log(f"{BINARY}-{name}").read_text()

    def beat(self, name: str = "one") -> Mapping[str, Any]:
        """What a rebalancer says of itself."""
        with self.database.reader() as session:
            for each in services.all(session):
                if (each.binary, each.host) == (BINARY, name):
                    return each.detail
        return {}

    @property
    def leader(self) -> str | None:
        """The name of the rebalancer that leads."""
        with self.database.reader() as session:
            holder = leases.holder(session, "rebalancer", time.time())
        return None if holder is None else holder.partition(":")[0]

    # Plans ---------------------------------------------------------------------

    def new_plan(
        self, state: str, moves: int, after: PlanRecord | None = None
    ) -> PlanRecord:
        """Waits for a plan in a state, for the guests as they are if it may yet run.

        :param after: only one made later than this one counts, or this one made anew
        """

        def made() -> PlanRecord | None:
            with self.database.reader() as session:
                for record in plans.list_plans(session, limit=10):
                    if after and record.created_at <= after.created_at:
                        return None
                    fits = len(record.plan.moves) == moves and record.state == state
                    ended = state in ("done", "failed")
                    if fits and (ended or self._is_current(record)):
                        return record
            return None

        found = self.until(made, f"no plan of {moves} moves is {state}")
        assert isinstance(found, PlanRecord)
        return found

    def _is_current(self, record: PlanRecord) -> bool:
        return all(self.host(move.guest) == move.source for move in record.plan.moves)

    def approve(self, plan: PlanRecord) -> None:
        """As an operator does."""
        self.buddies.run("plan", "approve", plan.id)

    def state(self, plan: PlanRecord) -> str:
        """A plan's state now."""
        with self.database.reader() as session:
            record = plans.get(session, plan.id)
        assert record is not None
        return record.state

    def moves(self, plan: PlanRecord) -> list[MoveRecord]:
        """A plan's moves now, in its order."""
        with self.database.reader() as session:
            return moves.of_plan(session, plan.id)

    def states(self, plan: PlanRecord) -> list[str]:
        """The states of a plan's moves now."""
        return [record.state for record in self.moves(plan)]

    def until_moves_are(self, plan: PlanRecord, *states: str) -> None:
        """Waits until the plan's moves are in these states."""
        self.until(
            lambda: self.states(plan) == list(states),
            lambda: f"the moves are not {states} but {self.moves(plan)}",
        )

    def until_ended(self, plan: PlanRecord) -> None:
        """Waits until nothing becomes of the plan any more."""
        self.until(
            lambda: self.state(plan) in plans.ENDED,
            lambda: f"the plan has not ended: {self.moves(plan)}",
        )

    def inventory_guests(self) -> dict[str, Any]:
        """The guests as the inventory has them, by uuid."""
        with self.database.reader() as session:
            return {each.uuid: each for each in inventory.guests(session, time.time())}

    def until(
        self,
        done: Callable[[], Any],
        complaint: str | Callable[[], str],
        timeout_seconds: float = 120,
    ) -> Any:
        """Waits until something is true, and returns it.

        :raises LabError: with the complaint and the rebalancers' last lines
        """
        deadline = time.monotonic() + timeout_seconds
        while not (found := done()):
            if time.monotonic() > deadline:
                why = complaint if isinstance(complaint, str) else complaint()
                tails = [f"{name}:\n{self.log(name)[-2000:]}" for name in self._running]
                raise LabError("\n".join([why, *tails]))
            time.sleep(0.1)
        return found
