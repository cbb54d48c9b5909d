# SPDX-License-Identifier: Apache-2.0
"""Parts of a controller on a real database and a real broker."""

import pytest

from membuddies_nova.bus.client import AgentClient
from membuddies_nova.bus.server import BusServer
from membuddies_nova.cluster import Scope
from membuddies_nova.controller.admission import Admission
from membuddies_nova.controller.board import Board
from membuddies_nova.controller.endpoint import Endpoint
from membuddies_nova.controller.tally import Tally
from membuddies_nova.fingerprint import seal
from tests.functional.bus.configuration import bus_conf
from tests.functional.controller.agents import KEY, SECRET

AGE_LIMIT_SECONDS = 10**12
"""No scan is too long ago: tests give scans any time they like."""


@pytest.fixture
def tally():
    return Tally()


@pytest.fixture
def admission(database, tally):
    return Admission(database, tally, 2, AGE_LIMIT_SECONDS)


@pytest.fixture
def key_file(tmp_path):
    """The cloud's key as controllers have it."""
    path = tmp_path / "seal.key"
    path.touch(mode=0o600)
    path.write_text(SECRET.hex())
    return path


@pytest.fixture
def keys(key_file):
    return seal.KeyFile(key_file)


@pytest.fixture
def serve(transport_url, tally, keys):
    """Answer the bus from a database; stopped behind the test."""
    servers = []

    def make(database):
        board = Board(
            database,
            scope=Scope.PROJECT,
            report_age_limit_seconds=300.0,
            full_scan_age_limit_seconds=3600.0,
            forget_fingerprint_seconds=604800.0,
        )
        admission = Admission(database, tally, 2, AGE_LIMIT_SECONDS)
        endpoint = Endpoint(keys, admission, board, tally)
        servers.append(BusServer(bus_conf(transport_url), endpoint, "c1", threads=4))
        servers[-1].start()
        return servers[-1]

    yield make
    for server in servers:
        server.stop(10.0)


@pytest.fixture
def client(transport_url):
    client = AgentClient(bus_conf(transport_url, 10.0), "h1", lambda: KEY)
    yield client
    client.close()
