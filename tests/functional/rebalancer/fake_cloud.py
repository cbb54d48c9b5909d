# SPDX-License-Identifier: Apache-2.0
"""A cloud in memory: servers, hosts, and what Nova does with live migrations.

What can go wrong is written on the server beforehand. A migration takes one step
each time ``step`` is called; one that is held stays ``running``. Refusals and the
order of states are those of nova.compute.api.live_migrate and
nova.conductor.manager.
"""

import dataclasses
import datetime
import uuid
from typing import Any

from tests.functional.keystone import PROJECT, USER

RUNNING_STATES = ["queued", "preparing", "running", "post-migrating"]


@dataclasses.dataclass
class Fault:
    """What goes wrong with the next request for a live migration.

    :ivar accepted: whether Nova acts on the request all the same
    :ivar status: HTTP status of the answer, None to cut the connection
    :ivar late: no answer at all, the connection stays open
    :ivar message: of the answer's body
    """

    accepted: bool
    status: int | None = None
    message: str = "Unexpected API Error."
    late: bool = False


@dataclasses.dataclass
class FakeServer:
    """A server, and what becomes of its next migration.

    :ivar ending: status in which it ends
    :ivar refusal: why the scheduler finds no host; then ``ending`` is ``error``
    :ivar held: it stays ``running`` until this is false
    :ivar silent: the conductor never takes the request up: no record
    """

    uuid: str
    host: str
    status: str = "ACTIVE"
    task_state: str | None = None
    locked: bool = False
    ending: str = "completed"
    refusal: str | None = None
    held: bool = False
    silent: bool = False
    lands_on: str | None = None
    status_after: str = "ACTIVE"
    fault: Fault | None = None


@dataclasses.dataclass
class Record:
    """A migration record as Nova's database holds it."""

    id: int
    server: str
    source: str
    destination: str | None
    wanted: str
    status: str
    kind: str = "live-migration"
    user: str = USER
    created: datetime.datetime = dataclasses.field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC)
    )


class FakeCloud:
    """Servers, compute hosts, migration records and server actions."""

    def __init__(self) -> None:
        self.servers: dict[str, FakeServer] = {}
        self.hosts: dict[str, dict[str, Any]] = {}
        self.records: list[Record] = []
        self.actions: list[dict[str, Any]] = []
        self.aborts: list[int] = []

    def add_host(self, name: str, **changes: Any) -> None:
        self.hosts[name] = {"status": "enabled", "state": "up", "forced": False}
        self.hosts[name].update(changes)

    def add_server(self, host: str, **changes: Any) -> FakeServer:
        server = FakeServer(uuid=str(uuid.uuid4()), host=host, **changes)
        self.servers[server.uuid] = server
        return server

    def add_record(
        self, server: FakeServer, destination: str, **changes: Any
    ) -> Record:
        """A migration that somebody else started, or that was before."""
        record = Record(
            id=len(self.records) + 1,
            server=server.uuid,
            source=server.host,
            destination=destination,
            wanted=destination,
            status="running",
        )
        record = dataclasses.replace(record, **changes)
        self.records.append(record)
        return record

    def records_of(self, server: FakeServer) -> list[Record]:
        return [record for record in self.records if record.server == server.uuid]

    def live_migrate(self, server: FakeServer, destination: str) -> None:
        """What Nova does once it has taken the request."""
        action = {
            "action": "live-migration",
            "instance_uuid": server.uuid,
            "request_id": f"req-{uuid.uuid4()}",
            "user_id": USER,
            "project_id": PROJECT,
            "start_time": stamp(datetime.datetime.now(datetime.UTC)),
            "updated_at": stamp(datetime.datetime.now(datetime.UTC)),
            "message": None,
            "events": [],
        }
        self.actions.append(action)
        server.task_state = "migrating"
        if server.silent:
            return
        if server.refusal is None:
            self.add_record(server, destination, status="accepted")
            return
        # As nova.conductor.manager._live_migrate: the record never got its
        # destination, the guest stays as it was, the reason is in the event.
        record = self.add_record(server, destination, status="error")
        record.destination = None
        server.task_state = None
        self._blame(server, "conductor_live_migrate_instance", server.refusal)

    def step(self, record: Record) -> None:
        """Take a migration one state on."""
        server = self.servers.get(record.server)
        if record.kind != "live-migration" or server is None:
            return
        if record.status == "accepted":
            record.status = RUNNING_STATES[0]
        elif record.status in RUNNING_STATES[:-1]:
            if record.status == "running" and server.held:
                return
            record.status = RUNNING_STATES[RUNNING_STATES.index(record.status) + 1]
        elif record.status == "post-migrating":
            record.status = server.ending
            server.task_state = None
            server.status = server.status_after
            if server.ending == "completed":
                server.host = server.lands_on or record.wanted
            else:
                self._blame(
                    server,
                    "compute_live_migration",
                    "Live Migration failure: operation failed: guest CPU differs",
                )

    def abort(self, record: Record) -> None:
        self.aborts.append(record.id)
        record.status = "cancelled"
        self.servers[record.server].task_state = None

    def _blame(self, server: FakeServer, event: str, details: str) -> None:
        action = next(
            action
            for action in reversed(self.actions)
            if action["instance_uuid"] == server.uuid
        )
        now = stamp(datetime.datetime.now(datetime.UTC))
        action["message"] = "Error"
        action["events"].append(
            {
                "event": event,
                "start_time": now,
                "finish_time": now,
                "result": "Error",
                "traceback": "Traceback (most recent call last): ...",
                "host": "ctl",
                "hostId": "2091634baaccdc4c5a1d57069c833e402921df696b7f970791b12ec6",
                "details": details,
            }
        )


def stamp(moment: datetime.datetime) -> str:
    """A time as Nova writes it: UTC, and not said to be."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")
