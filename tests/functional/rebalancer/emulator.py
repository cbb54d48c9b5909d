# SPDX-License-Identifier: Apache-2.0
"""A Nova API over real HTTP, whose faults a test can script.

For tests of the rebalancer's state machine: the real openstacksdk talks to it,
through a token of the Keystone in front. It knows what a live migration needs
and nothing else. So that it stays honest, each query and body that comes in and
each body that goes out is checked against Nova's own schemas; what fails is kept
in ``dishonesty``, which the fixture asserts to be empty. Refusals and the order of
states are those of nova.compute.api.live_migrate and nova.conductor.manager.

A migration takes one step each time its server's migrations are listed; one
that is held stays ``running`` until it is released.
"""

import dataclasses
import datetime
import http.server
import json
import re
import socket
import threading
import urllib.parse
import uuid
from typing import Any

import jsonschema
from nova.api.openstack.compute.schemas import (
    instance_actions,
    migrate_server,
    migrations,
    servers,
    services,
)

USER = "5fce3a5f5bb24a3c9f2e5c6a4c1d0b11"
PROJECT = "9d7c4b1e2f3a4c5d8e6f7a8b9c0d1e2f"
MAX_MICROVERSION = (2, 95)

_RUNNING_STATES = ["queued", "preparing", "running", "post-migrating"]
_FAULTS = {
    400: "badRequest",
    403: "forbidden",
    404: "itemNotFound",
    409: "conflictingRequest",
    500: "computeFault",
    503: "serviceUnavailable",
}


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


class NovaEmulator:
    """The state of the cloud, and the HTTP server in front of it."""

    def __init__(self) -> None:
        self.servers: dict[str, FakeServer] = {}
        self.hosts: dict[str, dict[str, Any]] = {}
        self.records: list[Record] = []
        self.actions: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str]] = []
        self.posts: list[str] = []
        self.aborts: list[int] = []
        self.dishonesty: list[str] = []
        self.away = False
        self.forbidden: set[str] = set()
        self.lock = threading.RLock()
        self.ended = threading.Event()
        emulator = self

        class Handler(_Handler):
            nova = emulator

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.02,), daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.ended.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

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
            "start_time": _stamp(datetime.datetime.now(datetime.UTC)),
            "updated_at": _stamp(datetime.datetime.now(datetime.UTC)),
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
            record.status = _RUNNING_STATES[0]
        elif record.status in _RUNNING_STATES[:-1]:
            if record.status == "running" and server.held:
                return
            record.status = _RUNNING_STATES[_RUNNING_STATES.index(record.status) + 1]
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
        now = _stamp(datetime.datetime.now(datetime.UTC))
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


class _Handler(http.server.BaseHTTPRequestHandler):
    """Keystone and Nova at one address; paths and bodies as they give them."""

    nova: NovaEmulator
    protocol_version = "HTTP/1.1"
    # One packet an answer: two would wait for each other 40 ms (Nagle).
    wbufsize = -1
    _late = False

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a test prints its own."""

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def _serve(self, method: str) -> None:
        url = urllib.parse.urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self._query = urllib.parse.parse_qs(url.query)
        query = dict(urllib.parse.parse_qsl(url.query))
        with self.nova.lock:
            self.nova.requests.append((method, url.path))
            if self.nova.away and not url.path.startswith("/identity"):
                self._fault(503, "The service is away.")
                return
            if any(part in url.path for part in self.nova.forbidden):
                self._fault(403, "Policy doesn't allow this to be performed.")
                return
            for pattern, wanted, name in _ROUTES:
                match = re.fullmatch(pattern, url.path.rstrip("/"))
                if match and wanted == method:
                    getattr(self, name)(*match.groups(), query=query, body=body)
                    break
            else:
                self._fault(404, f"no such path {method} {self.path}")
        if self._late:
            self.nova.ended.wait()
            self.close_connection = True

    # Keystone

    def identity(self, query: dict[str, str], body: Any) -> None:
        self._answer(
            200,
            {
                "version": {
                    "id": "v3.14",
                    "status": "stable",
                    "links": [{"rel": "self", "href": f"{self.nova.url}/identity/v3/"}],
                    "media-types": [],
                }
            },
        )

    def token(self, query: dict[str, str], body: Any) -> None:
        now = datetime.datetime.now(datetime.UTC)
        endpoint = {
            "id": "e1",
            "region": "RegionOne",
            "region_id": "RegionOne",
            "interface": "public",
            "url": f"{self.nova.url}/compute/v2.1",
        }
        token = {
            "methods": ["password"],
            "user": {
                "id": USER,
                "name": "membuddies",
                "domain": {"id": "default", "name": "Default"},
            },
            "project": {
                "id": PROJECT,
                "name": "service",
                "domain": {"id": "default", "name": "Default"},
            },
            "roles": [{"id": "r1", "name": "admin"}],
            "catalog": [
                {
                    "type": "compute",
                    "name": "nova",
                    "id": "s1",
                    "endpoints": [endpoint],
                }
            ],
            "issued_at": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "expires_at": (now + datetime.timedelta(hours=1)).strftime(
                "%Y-%m-%dT%H:%M:%S.%fZ"
            ),
            "audit_ids": ["a1"],
        }
        self._answer(201, {"token": token}, {"X-Subject-Token": "token"})

    # Nova

    def version(self, query: dict[str, str], body: Any) -> None:
        self._answer(
            200,
            {
                "version": {
                    "id": "v2.1",
                    "status": "CURRENT",
                    "version": "2.95",
                    "min_version": "2.1",
                    "updated": "2013-07-23T11:33:21Z",
                    "links": [
                        {"rel": "self", "href": f"{self.nova.url}/compute/v2.1/"}
                    ],
                    "media-types": [],
                }
            },
        )

    def show_server(self, server_id: str, query: dict[str, str], body: Any) -> None:
        server = self._server(server_id)
        if server is None:
            return
        status = server.status
        if (status, server.task_state) == ("ACTIVE", "migrating"):
            status = "MIGRATING"
        self._answer_checked(
            servers.show_response_v290
            if self._asked >= (2, 90)
            else servers.show_response_v273,
            {"server": _server_body(server, status, self._asked)},
        )

    def act(self, server_id: str, query: dict[str, str], body: Any) -> None:
        server = self._server(server_id)
        if server is None:
            return
        self._check(migrate_server.migrate_live_v2_68, body)
        if self._asked < (2, 68):
            self.nova.dishonesty.append(f"asked with {self._asked}: force is possible")
        self.nova.posts.append(server_id)
        destination = body["os-migrateLive"]["host"]
        fault, server.fault = server.fault, None
        if fault is not None:
            if fault.accepted:
                self.nova.live_migrate(server, destination)
            if fault.late:
                self._late = True
            elif fault.status is None:
                self._cut()
            else:
                self._fault(fault.status, fault.message)
        elif destination not in self.nova.hosts:
            self._fault(400, f"Compute host {destination} could not be found.")
        elif server.locked:
            self._fault(409, f"Instance {server.uuid} is locked")
        elif server.task_state is not None or server.status != "ACTIVE":
            what = (
                f"task_state {server.task_state}"
                if server.task_state
                else f"vm_state {server.status.lower()}"
            )
            self._fault(
                409,
                f"Cannot 'os-migrateLive' instance {server.uuid} while it is in {what}",
            )
        else:
            self.nova.live_migrate(server, destination)
            self._answer(202, None)

    def list_migrations(self, query: dict[str, str], body: Any) -> None:
        self._check(migrations.index_query_v280, self._query)
        found = []
        for record in self.nova.records:
            if "instance_uuid" in query:
                if query["instance_uuid"] != record.server:
                    continue
                self.nova.step(record)
            if query.get("status", record.status) != record.status:
                continue
            if query.get("migration_type", record.kind) != record.kind:
                continue
            if "changes-since" in query and record.created < (
                datetime.datetime.fromisoformat(query["changes-since"])
            ):
                continue
            found.append(_record_body(record, self.nova.url))
        self._answer_checked(
            migrations.index_response_v280, {"migrations": found[::-1]}
        )

    def abort_migration(
        self, server_id: str, number: str, query: dict[str, str], body: Any
    ) -> None:
        server = self._server(server_id)
        if server is None:
            return
        for record in self.nova.records_of(server):
            if record.id == int(number):
                if record.status not in ("queued", "preparing", "running"):
                    self._fault(
                        400,
                        f"Migration {number} state of instance {server_id} is "
                        f"{record.status}. Cannot abort live migration while the "
                        f"migration is in this state.",
                    )
                    return
                self.nova.abort(record)
                self._answer(202, None)
                return
        self._fault(404, f"Migration {number} not found for instance {server_id}")

    def list_services(self, query: dict[str, str], body: Any) -> None:
        self._check(services.index_query_v275, self._query)
        found = [
            {
                "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
                "binary": "nova-compute",
                "host": name,
                "zone": "nova",
                "status": host["status"],
                "state": host["state"],
                "forced_down": host["forced"],
                "updated_at": _stamp(datetime.datetime.now(datetime.UTC)),
                "disabled_reason": None,
            }
            for name, host in self.nova.hosts.items()
            if query.get("host", name) == name
        ]
        self._answer_checked(services.index_response_v269, {"services": found})

    def list_actions(self, server_id: str, query: dict[str, str], body: Any) -> None:
        self._check(instance_actions.index_query_v266, self._query)
        found = [
            {key: value for key, value in action.items() if key != "events"}
            for action in reversed(self.nova.actions)
            if action["instance_uuid"] == server_id
        ]
        self._answer_checked(
            instance_actions.index_response_v258, {"instanceActions": found}
        )

    def show_action(
        self, server_id: str, request_id: str, query: dict[str, str], body: Any
    ) -> None:
        action = next(a for a in self.nova.actions if a["request_id"] == request_id)
        self._answer_checked(
            instance_actions.show_response_v284, {"instanceAction": action}
        )

    # Plumbing

    @property
    def _asked(self) -> tuple[int, int]:
        header = self.headers.get("OpenStack-API-Version", "compute 2.1")
        major, minor = header.removeprefix("compute ").split(".")
        return int(major), int(minor)

    def _server(self, server_id: str) -> FakeServer | None:
        server = self.nova.servers.get(server_id)
        if server is None:
            self._fault(404, f"Instance {server_id} could not be found.")
        return server

    def _check(self, schema: dict[str, Any], body: Any) -> None:
        try:
            jsonschema.validate(body, schema)
        except jsonschema.ValidationError as error:
            self.nova.dishonesty.append(
                f"{self.command} {self.path} at {self._asked}: {error.message} "
                f"at {list(error.absolute_path)}"
            )

    def _answer_checked(self, schema: dict[str, Any], body: Any) -> None:
        if self._asked > MAX_MICROVERSION:
            self._fault(406, f"Version {self._asked} is not supported")
            return
        self._check(schema, body)
        self._answer(200, body)

    def _fault(self, status: int, message: str) -> None:
        name = _FAULTS.get(status, "computeFault")
        self._answer(status, {name: {"code": status, "message": message}})

    def _answer(
        self, status: int, body: Any, headers: dict[str, str] | None = None
    ) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        major, minor = self._asked
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("OpenStack-API-Version", f"compute {major}.{minor}")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _cut(self) -> None:
        """End the connection without a byte of an answer."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


_SERVER = "/compute/v2.1/servers/([^/]+)"
_ROUTES: list[tuple[str, str, str]] = [
    (r"/identity(?:/v3)?", "GET", "identity"),
    (r"/identity/v3/auth/tokens", "POST", "token"),
    (r"/compute(?:/v2.1)?", "GET", "version"),
    (_SERVER, "GET", "show_server"),
    (f"{_SERVER}/action", "POST", "act"),
    (f"{_SERVER}/migrations/([0-9]+)", "DELETE", "abort_migration"),
    (f"{_SERVER}/os-instance-actions", "GET", "list_actions"),
    (f"{_SERVER}/os-instance-actions/([^/]+)", "GET", "show_action"),
    (r"/compute/v2.1/os-migrations", "GET", "list_migrations"),
    (r"/compute/v2.1/os-services", "GET", "list_services"),
]


def _stamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")


def _record_body(record: Record, url: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "created_at": _stamp(record.created),
        "dest_compute": record.destination,
        "dest_host": None,
        "dest_node": record.destination,
        "id": record.id,
        "instance_uuid": record.server,
        "new_instance_type_id": 1,
        "old_instance_type_id": 1,
        "source_compute": record.source,
        "source_node": record.source,
        "status": record.status,
        "updated_at": _stamp(record.created),
        "migration_type": record.kind,
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, str(record.id))),
        "project_id": PROJECT,
        "user_id": record.user,
    }
    if record.kind == "live-migration" and record.status in _RUNNING_STATES:
        path = f"servers/{record.server}/migrations/{record.id}"
        body["links"] = [
            {"rel": "self", "href": f"{url}/compute/v2.1/{path}"},
            {"rel": "bookmark", "href": f"{url}/compute/{path}"},
        ]
    return body


def _server_body(
    server: FakeServer, status: str, microversion: tuple[int, int]
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "accessIPv4": "192.0.2.1",
        "accessIPv6": "2001:db8::1",
        "addresses": {},
        "config_drive": "",
        "created": "2026-11-24T08:00:00Z",
        "flavor": {
            "disk": 0,
            "ephemeral": 0,
            "original_name": "m1",
            "ram": 256,
            "swap": 0,
            "vcpus": 1,
            "extra_specs": {},
        },
        "hostId": "2091634baaccdc4c5a1d57069c833e402921df696b7f970791b12ec6",
        "host_status": "UP",
        "id": server.uuid,
        "image": {
            "id": "70a599e0-31e7-49b7-b260-868f441e862b",
            "links": [{"rel": "bookmark", "href": "http://127.0.0.1/images/1"}],
        },
        "key_name": None,
        "links": [{"rel": "self", "href": f"http://127.0.0.1/servers/{server.uuid}"}],
        "metadata": {},
        "name": "vm",
        "os-extended-volumes:volumes_attached": [],
        "progress": 0,
        "status": status,
        "tenant_id": PROJECT,
        "updated": "2026-11-24T08:00:05Z",
        "user_id": USER,
        "OS-DCF:diskConfig": "AUTO",
        "OS-EXT-AZ:availability_zone": "nova",
        "OS-EXT-SRV-ATTR:host": server.host,
        "OS-EXT-SRV-ATTR:hostname": "vm",
        "OS-EXT-SRV-ATTR:hypervisor_hostname": server.host,
        "OS-EXT-SRV-ATTR:instance_name": "instance-00000001",
        "OS-EXT-SRV-ATTR:kernel_id": "",
        "OS-EXT-SRV-ATTR:launch_index": 0,
        "OS-EXT-SRV-ATTR:ramdisk_id": "",
        "OS-EXT-SRV-ATTR:reservation_id": "r-1",
        "OS-EXT-SRV-ATTR:root_device_name": "/dev/vda",
        "OS-EXT-SRV-ATTR:user_data": None,
        "OS-EXT-STS:power_state": 1,
        "OS-EXT-STS:task_state": server.task_state,
        "OS-EXT-STS:vm_state": server.status.lower(),
        "OS-SRV-USG:launched_at": "2026-11-24T08:00:05.000000",
        "OS-SRV-USG:terminated_at": None,
        "locked": server.locked,
        "locked_reason": None,
        "description": None,
        "tags": [],
        "trusted_image_certificates": None,
        "server_groups": [],
    }
    return body
