# SPDX-License-Identifier: Apache-2.0
"""Plans and inventories as rows, in as few words as a test needs."""

import numpy as np

from membuddies_nova.cluster import Guest, Host, KsmState
from membuddies_nova.db import fingerprints, inventory, moves, plans, reports
from membuddies_nova.db.api import Database
from membuddies_nova.db.moves import MoveRecord
from membuddies_nova.db.plans import PlanRecord
from membuddies_nova.facts import HostFacts, KsmFacts, Number
from membuddies_nova.fingerprint import codec, seal
from membuddies_nova.fingerprint.sample import Sample
from membuddies_nova.plan import Goal, HostUse, Move, Plan, Verdict
from tests.functional.rebalancer.fake_cloud import (
    RUNNING_STATES,
    FakeCloud,
    FakeServer,
)

KEY = seal.SealKey(bytes(32))


class Clock:
    """Seconds since the epoch, as the test says."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def move(server: FakeServer, destination: str, wave: int = 1) -> Move:
    return Move(
        wave=wave,
        guest=server.uuid,
        source=server.host,
        destination=destination,
        gain_mb=64.0,
        error_mb=1.0,
        copy_mb=200.0,
        reason="it shares more there",
    )


def plan_of(*moves: Move) -> Plan:
    hosts = sorted({name for m in moves for name in (str(m.source), m.destination)})
    uses = {name: HostUse(pages=1000.0, guests=()) for name in hosts}
    return Plan(
        strategy="union",
        goal=Goal.SHARE,
        scope="project",
        shift=6,
        before=uses,
        after=uses,
        moves=moves,
        unplaced=(),
        hosts_freed=(),
        verdict=Verdict.MOVE,
        why="it saves memory",
    )


def store_plan(
    database: Database,
    *moves: Move,
    now: float,
    state: str = "running",
    mode: str = "recommend",
) -> str:
    with database.writer() as session:
        return plans.create(
            session,
            plan_of(*moves),
            mode=mode,
            state=state,
            now=now,
            expires_at=now + 3600,
        )


def plan_row(database: Database, plan_id: str) -> PlanRecord:
    with database.reader() as session:
        found = plans.get(session, plan_id)
    assert found is not None
    return found


def move_rows(database: Database, plan_id: str) -> list[MoveRecord]:
    with database.reader() as session:
        return moves.of_plan(session, plan_id)


def only_move(database: Database, plan_id: str) -> MoveRecord:
    (record,) = move_rows(database, plan_id)
    return record


def store_inventory(database: Database, cloud: FakeCloud, now: float) -> None:
    """What the inventory reader would have read from the cloud by now."""
    hosts = [Host(name=name, memory_mb=4096, vcpus=16) for name in cloud.hosts]
    guests = [
        Guest(
            uuid=server.uuid,
            name=server.uuid[:8],
            memory_mb=256,
            host=server.host,
            project="p1",
            status=server.status,
            task_state=server.task_state,
            migrating=server.task_state == "migrating",
            other_host=_other_host(cloud, server),
            locked=server.locked,
        )
        for server in cloud.servers.values()
    ]
    with database.writer() as session:
        inventory.replace(session, hosts, guests, now)
        for host in hosts:
            facts = HostFacts(
                mem_total_bytes=4 * 2**30,
                mem_available_bytes=3 * 2**30,
                ksm=KsmFacts(state=KsmState.MERGING, run=1),
            )
            number = Number(int(now * 1000), 1)
            reports.store(session, host.name, number, facts, (), now, tag="", key_id="")


def _other_host(cloud: FakeCloud, server: FakeServer) -> str | None:
    """Where a server goes to, while it does."""
    for record in cloud.records_of(server):
        if record.status in RUNNING_STATES:
            return record.destination
    return None


def store_fingerprint(
    database: Database, server: FakeServer, *, seed: int, now: float
) -> None:
    """A fingerprint of 128 MB of pages; equal seeds hold equal pages."""
    ids = np.random.default_rng(seed).integers(2**64, size=32768, dtype=np.uint64)
    body = codec.encode(Sample.of_pages(ids, shift=6).sealed(KEY))
    with database.writer() as session:
        fingerprints.store(
            session,
            guest=server.uuid,
            host=server.host,
            number=Number(1, 1),
            digest=codec.digest(body),
            body=body,
            scanned_at=now,
            now=now,
        )
