# SPDX-License-Identifier: Apache-2.0
"""A network service without networks, for guests that have none.

Nova asks the network service even when guests are booted with ``networks="none"``.
A real Neutron would make live migration of guests without ports fail.  A script::

    python network_stub.py ADDRESS PORT
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_NOTHING: dict[str, list[object]] = {
    kind: []
    for kind in ("ports", "networks", "extensions", "security_groups", "floatingips")
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(_NOTHING).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    address, port = sys.argv[1:]
    ThreadingHTTPServer((address, int(port)), _Handler).serve_forever()
