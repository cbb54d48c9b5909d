# SPDX-License-Identifier: Apache-2.0
"""An OpenStack over real HTTP whose lists and faults a test sets.

For what the cloud of tests/cloud cannot be made to do at will. It answers GET for
the lists of the reader in pages, and POST for tokens, and knows nothing else.
"""

import http.server
import json
import threading
import urllib.parse
from collections.abc import Callable
from typing import Any

from tests.functional import keystone
from tests.unit.inventory import records

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Edge:
    """The services at the edge.

    :ivar lists: what each path lists: key and records
    :ivar page_size: records of a page at most, as a service's own limit
    :ivar faults: how a path answers instead
    :ivar catalog: types of the services that the catalog names
    :ivar token_id: of the only token that is good
    :ivar building: guests that are in a cell and still have a build request, and
        how many pages behind one of them are asked for until they have none. As in
        Nova's compute.api.API.get_all such a page begins with the first guest.
    :ivar requests: paths and queries, as they came
    """

    def __init__(self) -> None:
        self.page_size = 1000
        self.faults: dict[str, Answer] = {}
        self.catalog = {"compute": "/v2.1", "placement": "", "image": "/v2"}
        self.token_id = "t1"
        self.building: dict[str, int] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        provider = f"/placement/resource_providers/{records.NODE.format(1)}"
        self.objects: dict[str, records.Record] = {
            f"{provider}/inventories": {
                "inventories": {"MEMORY_MB": records.inventory(4096)},
                "resource_provider_generation": 7,
            },
            f"{provider}/traits": {
                "traits": [
                    "HW_CPU_X86_AVX2",
                    "COMPUTE_NODE",
                    "HW_CPU_X86_AVX",
                    "HW_CPU_HYPERTHREADING",
                ],
                "resource_provider_generation": 7,
            },
        }
        self.lists: dict[str, tuple[str, list[records.Record]]] = {
            "/compute/v2.1/servers/detail": ("servers", [records.server()]),
            "/compute/v2.1/os-services": ("services", [records.service()]),
            "/compute/v2.1/os-hypervisors/detail": (
                "hypervisors",
                [records.hypervisor()],
            ),
            "/compute/v2.1/os-aggregates": ("aggregates", []),
            "/compute/v2.1/os-server-groups": ("server_groups", []),
            "/compute/v2.1/os-migrations": ("migrations", []),
            "/image/v2/images": ("images", []),
            "/block-storage/v3/volumes/detail": ("volumes", []),
        }
        handler = type("Handler", (_Handler,), {"edge": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def page(self, path: str, query: dict[str, str]) -> records.Record:
        """What one GET answers."""
        key, items = self.lists[path]
        if "instance_uuid" in query:
            uuid = query["instance_uuid"]
            items = [item for item in items if item["instance_uuid"] == uuid]
        start = int(query.get("offset", 0))
        if query.get("marker") in self.building:
            self.building[query["marker"]] -= 1
            if not self.building[query["marker"]]:
                del self.building[query["marker"]]
        elif "marker" in query:
            start = 1 + [item["id"] for item in items].index(query["marker"])
        limit = min(self.page_size, int(query.get("limit", len(items) or 1)))
        return {key: items[start : start + limit]}

    def token(self) -> records.Record:
        """What Keystone answers to any credential."""
        return keystone.token(
            {kind: f"{self.url}/{kind}{path}" for kind, path in self.catalog.items()}
        )


class _Handler(http.server.BaseHTTPRequestHandler):
    edge: Edge

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path in self.edge.faults:
            self.edge.faults[self.path](self)
        else:
            token_id = {"X-Subject-Token": self.edge.token_id}
            send(self, 201, self.edge.token(), token_id)

    def do_GET(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        self.edge.requests.append((parts.path, query))
        if parts.path in self.edge.faults:
            self.edge.faults[parts.path](self)
        elif self.headers.get("X-Auth-Token") not in (None, self.edge.token_id):
            send(self, 401, {"error": {"message": "The token is not good."}})
        elif parts.path in self.edge.lists:
            send(self, 200, self.edge.page(parts.path, query))
        elif parts.path in self.edge.objects:
            send(self, 200, self.edge.objects[parts.path])
        elif parts.path.rstrip("/") in ("/placement", "/image"):
            send(self, 200, _VERSIONS[parts.path.strip("/")])
        else:
            send(self, 404, {"itemNotFound": {"message": "There is no such thing."}})

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


_VERSIONS = {
    "placement": {
        "versions": [
            {
                "id": "v1.0",
                "status": "CURRENT",
                "min_version": "1.0",
                "max_version": "1.39",
                "links": [{"rel": "self", "href": ""}],
            }
        ]
    },
    "image": {
        "versions": [
            {
                "id": "v2.9",
                "status": "CURRENT",
                "links": [{"rel": "self", "href": "/image/v2/"}],
            }
        ]
    },
}


def send(
    handler: http.server.BaseHTTPRequestHandler,
    status: int,
    body: records.Record,
    headers: dict[str, str] | None = None,
) -> None:
    """An answer of a service."""
    data = json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)


def refuse(status: int, message: str) -> Answer:
    """A service that says no."""
    return lambda handler: send(handler, status, {"fault": {"message": message}})


def half_an_answer(handler: http.server.BaseHTTPRequestHandler) -> None:
    """A connection that ends in mid-body."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"servers": [')
    handler.close_connection = True


def broken_json(handler: http.server.BaseHTTPRequestHandler) -> None:
    """An answer that came through a proxy that cut it."""
    data = b'{"servers": ['
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def silence(handler: http.server.BaseHTTPRequestHandler) -> None:
    """A service that takes the request and never answers."""
    handler.rfile.read(1)
    handler.close_connection = True
