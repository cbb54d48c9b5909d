# SPDX-License-Identifier: Apache-2.0
"""A client and servers on a real broker."""

import pytest

from membuddies_nova.bus import transport
from membuddies_nova.bus.client import AgentClient
from membuddies_nova.bus.messages import (
    Outcome,
    Report,
    ReportAnswer,
    ScoreboardAnswer,
    StoreAnswer,
)
from membuddies_nova.bus.server import BusServer
from membuddies_nova.facts import HostFacts, Number
from membuddies_nova.fingerprint import seal
from tests.functional.bus.configuration import bus_conf

HOST = "compute-1"
KEY = seal.SealKey(bytes(range(32)))


class Echo:
    """Answers each question, and remembers that it was asked."""

    target = transport.target()

    def __init__(self):
        self.asked = []

    def report(self, context, /, message=None):
        self.asked.append(("report", message))
        return ReportAnswer().to_json()

    def store(self, context, /, message=None):
        self.asked.append(("store", message))
        return StoreAnswer(outcome=Outcome.STORED).to_json()

    def scoreboard(self, context, /, message=None):
        self.asked.append(("scoreboard", message))
        return ScoreboardAnswer(version="0" * 32, body=b"board").to_json()


@pytest.fixture
def report():
    return Report(
        host=HOST,
        number=Number(1, 1),
        guests=(),
        facts=HostFacts(mem_total_bytes=2**30, mem_available_bytes=2**29),
        sent_at=2.0,
    )


@pytest.fixture
def make_client():
    """Make a client of a transport URL; all are closed behind the test."""
    clients = []

    def make(url, timeout_seconds=5.0):
        clients.append(AgentClient(bus_conf(url, timeout_seconds), HOST, lambda: KEY))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def make_server():
    """Start a server on a transport URL; all are stopped behind the test."""
    servers = []

    def make(url, endpoint, host="controller-1"):
        servers.append(BusServer(bus_conf(url), endpoint, host, threads=2))
        servers[-1].start()
        return servers[-1]

    yield make
    for server in servers:
        server.stop(10.0)


@pytest.fixture
def echo():
    return Echo()
