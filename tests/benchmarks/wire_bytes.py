# SPDX-License-Identifier: Apache-2.0
"""Bytes that RabbitMQ receives for a fingerprint, for each GiB of present memory.

The recorded guests are sampled at shift 6, sealed, and sent by the agent's own
client to a real RabbitMQ. A second queue, bound beside the controllers', is the
tap: it gets the same messages, and the length of each one's body is what the
broker got, base64 and oslo.messaging's envelope included.

Run: python -m tests.benchmarks.wire_bytes
"""

import pathlib
import sys
import tempfile
import time

from membuddies_nova.bus import transport
from membuddies_nova.bus.client import AgentClient
from membuddies_nova.bus.messages import Outcome, StoreAnswer, StoreRequest
from membuddies_nova.bus.server import BusServer
from membuddies_nova.facts import Number
from membuddies_nova.fingerprint import codec, page
from membuddies_nova.fingerprint.sample import MIN_SHIFT, Sample
from tests.benchmarks.figure import Figure
from tests.benchmarks.guests import KEY, recorded
from tests.benchmarks.tap import tapped
from tests.functional.bus.configuration import answered, bus_conf
from tests.functional.services import RabbitMQ

ASKED_KB_PER_GIB = 36.0


class Sink:
    """A controller that stores nothing."""

    target = transport.target()

    def report(self, _context, /, message=None):
        raise NotImplementedError

    def store(self, _context, /, message=None):
        return StoreAnswer(outcome=Outcome.STORED).to_json()

    def scoreboard(self, _context, /, message=None):
        raise NotImplementedError


def request_of(number: int, ids: page.Ids) -> StoreRequest:
    """The request for a guest's second scan, which says what is stable."""
    bare = Sample.of_pages(ids, shift=MIN_SHIFT)
    body = codec.encode(bare.with_stability(bare).sealed(KEY))
    return StoreRequest(
        host="compute-1.example.org",
        guest=f"6f0c2f3e-0000-4000-8000-{number:012d}",
        number=Number(int(time.time() * 1000), number),
        digest=codec.digest(body),
        scanned_at=time.time(),
        body=body,
    )


def received_bytes(url: str, requests: list[StoreRequest]) -> list[int]:
    """Send each request, and tell how long its body was at the broker."""
    server = BusServer(bus_conf(url), Sink(), "controller-1", threads=1)
    client = AgentClient(bus_conf(url, 30.0), "compute-1.example.org", lambda: KEY)
    server.start()
    sizes = []
    answered(lambda: client.store(requests[0]))
    with tapped(url) as tap:
        for request in requests:
            client.store(request)
            sizes.append(tap.next_bytes())
    server.stop(10.0)
    client.close()
    return sizes


def main() -> int:
    lists = recorded()
    requests = [request_of(number, ids) for number, ids in enumerate(lists.values())]
    with (
        tempfile.TemporaryDirectory(prefix="membuddies-benchmark-") as folder,
        RabbitMQ(pathlib.Path(folder)) as broker,
    ):
        sizes = received_bytes(broker.create_vhost("benchmark"), requests)
    kb_per_gib = {
        name: size / 1024 / (len(ids) * page.PAGE_SIZE / 2**30)
        for (name, ids), size in zip(lists.items(), sizes, strict=True)
    }
    return Figure(
        name="wire_bytes",
        what="body at RabbitMQ for each GiB of present memory, mean over guests",
        how="at most",
        asked=ASKED_KB_PER_GIB,
        measured=sum(kb_per_gib.values()) / len(kb_per_gib),
        unit="KB",
        facts={
            "guests": len(lists),
            "shift": MIN_SHIFT,
            "least_kb": round(min(kb_per_gib.values()), 2),
            "most_kb": round(max(kb_per_gib.values()), 2),
        },
    ).publish()


if __name__ == "__main__":
    sys.exit(main())
