# SPDX-License-Identifier: Apache-2.0
"""A proxy before Nova's API, for what happens between a request and its answer.

For tests of the rebalancer, which finds it in the catalog as the compute endpoint
of the interface ``internal``. It hands on every request as it is. What it does with
the request for a live migration, a test may say.
"""

import contextlib
import http.client
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.cloud.lab.cloud import Cloud
from tests.cloud.lab.layout import CONTROL_ADDRESS, PORTS, REGION

PORT = PORTS["compute"] + 1

Forward = Callable[[], "Answer"]
"""Asks Nova, and returns when it has answered."""


@dataclass(frozen=True)
class Answer:
    """What Nova answered."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class NovaProxy:
    """Listens while it is open, in the network of the thread that made it.

    :ivar on_migration: called instead of handing on a request for a live migration;
        None as its result cuts the connection without an answer
    :ivar answers: Nova's answers to those requests, as far as they were handed on
    """

    def __init__(self) -> None:
        self.on_migration: Callable[[Forward], Answer | None] | None = None
        self.answers: list[Answer] = []
        self._server = http.server.ThreadingHTTPServer(
            (CONTROL_ADDRESS, PORT), self._handler()
        )
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def reset(self) -> None:
        """Hand on everything again, and forget what was."""
        self.on_migration = None
        self.answers.clear()

    def answer(self, forward: Forward, body: bytes) -> Answer | None:
        """What the client gets: Nova's answer, or what the test makes of it."""
        if b'"os-migrateLive"' not in body:
            return forward()

        def recorded() -> Answer:
            answer = forward()
            self.answers.append(answer)
            return answer

        if self.on_migration is None:
            return recorded()
        return self.on_migration(recorded)

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _hand_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = proxy.answer(lambda: _ask(self, body), body)
                self.close_connection = True
                if answer is None:
                    return
                self.send_response_only(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.end_headers()
                # A client that was killed meanwhile reads no more.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.wfile.write(answer.body)

            do_GET = do_POST = do_DELETE = _hand_on

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing: the services' logs tell it all."""

        return Handler


def _ask(request: http.server.BaseHTTPRequestHandler, body: bytes) -> Answer:
    nova = http.client.HTTPConnection(CONTROL_ADDRESS, PORTS["compute"])
    with contextlib.closing(nova):
        nova.request(request.command, request.path, body, dict(request.headers))
        answer = nova.getresponse()
        return Answer(answer.status, tuple(answer.getheaders()), answer.read())


@contextlib.contextmanager
def in_catalog(cloud: Cloud) -> Iterator[None]:
    """Names the proxy as Nova's internal endpoint."""
    identity = cloud.connect().identity
    service = identity.find_service("nova", ignore_missing=False)
    endpoint = identity.create_endpoint(
        service_id=service.id,
        interface="internal",
        region_id=REGION,
        url=f"http://{CONTROL_ADDRESS}:{PORT}/v2.1",
    )
    try:
        yield
    finally:
        identity.delete_endpoint(endpoint)
