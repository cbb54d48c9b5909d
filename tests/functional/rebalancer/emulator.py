# SPDX-License-Identifier: Apache-2.0
"""A Nova API over real HTTP, whose faults a test can script.

For tests of the rebalancer's state machine: the real openstacksdk talks to it,
through a token of the Keystone in front. It knows what a live migration needs
and nothing else. So that it stays honest, each query and body that comes in and
each body that goes out is checked against Nova's own schemas; what fails is kept
in ``dishonesty``, which the fixture asserts to be empty.

A migration takes one step each time its server's migrations are listed.
"""

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

from tests.functional import keystone
from tests.functional.rebalancer.bodies import record_body, server_body
from tests.functional.rebalancer.fake_cloud import (
    FakeCloud,
    FakeServer,
    stamp,
)

MAX_MICROVERSION = (2, 95)

_FAULTS = {
    400: "badRequest",
    403: "forbidden",
    404: "itemNotFound",
    409: "conflictingRequest",
    500: "computeFault",
    503: "serviceUnavailable",
}


class NovaEmulator(FakeCloud):
    """The HTTP server in front of a cloud.

    :ivar posts: uuids of the servers for which a migration was requested
    :ivar away: Nova, not Keystone, answers 503
    :ivar forbidden: parts of paths that are answered with 403
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[str, str]] = []
        self.posts: list[str] = []
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
        token = keystone.token({"compute": f"{self.nova.url}/compute/v2.1"})
        self._answer(201, token, {"X-Subject-Token": "token"})

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
            {"server": server_body(server, status)},
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
            found.append(record_body(record, self.nova.url))
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
                "updated_at": stamp(datetime.datetime.now(datetime.UTC)),
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
