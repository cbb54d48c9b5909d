# SPDX-License-Identifier: Apache-2.0
"""What agents send, and what Nova says of it."""

import dataclasses
import time

import numpy as np

from membuddies_nova.bus.messages import Report, StoreRequest
from membuddies_nova.bus.tag import Proof
from membuddies_nova.cluster import Guest, Host
from membuddies_nova.db import inventory
from membuddies_nova.facts import GuestFacts, HostFacts, Number
from membuddies_nova.fingerprint import codec, seal
from membuddies_nova.fingerprint.sample import Sample

SECRET = bytes(range(32))
KEY = seal.SealKey(SECRET)
OTHER_SECRET = bytes(range(1, 33))
OTHER_KEY = seal.SealKey(OTHER_SECRET)
PROOF = Proof(KEY.key_id.hex(), "0" * 32)
MEMORY_BYTES = 4 * 2**30


def uuid_of(number):
    return f"6f0c2f3e-0000-4000-8000-{number:012d}"


def place(database, now, **hosts):
    """Let Nova see guests by number on hosts: ``place(db, 1.0, h1=(1, 2))``."""
    with database.writer() as session:
        assert inventory.replace(
            session,
            [Host(name=name, memory_mb=4096) for name in hosts],
            [
                Guest(uuid=uuid_of(number), name="g", memory_mb=1024, host=name)
                for name, numbers in hosts.items()
                for number in numbers
            ],
            now,
        )


@dataclasses.dataclass
class Agent:
    """One host's agent, with a fingerprint for each guest that it has scanned."""

    host: str
    started: int = 1000
    counter: int = 0
    reports: int = 0

    def __post_init__(self):
        self.requests = {}

    def scan(self, guest, *, seed=0, pages=20_000, key=KEY):
        """Make a guest's next fingerprint: its request to store it."""
        ids = np.random.default_rng((guest, seed)).integers(
            0, 2**64 - 1, pages, np.uint64, endpoint=True
        )
        body = codec.encode(Sample.of_pages(ids).sealed(key))
        self.counter += 1
        request = StoreRequest(
            host=self.host,
            guest=uuid_of(guest),
            number=Number(self.started, self.counter),
            digest=codec.digest(body),
            scanned_at=float(self.counter),
            body=body,
        )
        self.requests[request.guest] = request
        return request

    def report(self):
        """The next report of all that it has scanned."""
        self.reports += 1
        return Report(
            host=self.host,
            number=Number(self.started, self.reports),
            guests=tuple(
                GuestFacts(
                    uuid=request.guest,
                    counter=request.number.counter,
                    digest=request.digest,
                    scanned_at=request.scanned_at,
                )
                for request in self.requests.values()
            ),
            facts=HostFacts(
                mem_total_bytes=MEMORY_BYTES, mem_available_bytes=MEMORY_BYTES // 2
            ),
            sent_at=time.time(),
        )
