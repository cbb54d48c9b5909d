# SPDX-License-Identifier: Apache-2.0
"""Fingerprints stored per second by one controller: committed rows, no less.

A real membuddies-controller, RabbitMQ and MariaDB with its defaults (every
commit is flushed) on this machine, and agents that send fingerprints of
distinct guests of 1 GiB, made like the recorded ones. All of it shares the
machine's processors. What counts are the rows of the table at the end, over the
time from the first question to the last answer.

Run: python -m tests.benchmarks.stored_per_second
"""

import contextlib
import itertools
import os
import pathlib
import queue
import sys
import tempfile
import threading
import time

from membuddies_nova.bus.client import AgentClient
from membuddies_nova.bus.messages import Outcome, Report, StoreRequest
from membuddies_nova.cluster import Guest, Host
from membuddies_nova.db import inventory, schema
from membuddies_nova.db.api import Database
from membuddies_nova.facts import HostFacts, Number
from membuddies_nova.fingerprint import codec
from tests.benchmarks.controllers import controller
from tests.benchmarks.figure import Figure
from tests.benchmarks.guests import KEY, like_recorded
from tests.functional.bus.configuration import answered, bus_conf
from tests.functional.services import MariaDB, RabbitMQ

ASKED_PER_SECOND = 50.0
GUESTS = 600
GUEST_PAGES = 2**30 // 4096
AGENTS = 8
REPORTS = itertools.count(1)


def host_of(number: int) -> str:
    return f"compute-{number % AGENTS}"


def uuid_of(number: int) -> str:
    return f"6f0c2f3e-0000-4000-8000-{number:012d}"


def make_requests() -> list[StoreRequest]:
    """One request for each guest."""
    requests = []
    samples = itertools.islice(like_recorded(GUEST_PAGES), GUESTS)
    for number, sample in enumerate(samples):
        body = codec.encode(sample.sealed(KEY))
        requests.append(
            StoreRequest(
                host=host_of(number),
                guest=uuid_of(number),
                number=Number(1, number),
                digest=codec.digest(body),
                scanned_at=time.time(),
                body=body,
            )
        )
    return requests


def place(database: Database) -> None:
    """Let Nova see each guest where its agent is."""
    with database.writer() as session:
        inventory.replace(
            session,
            [Host(name=host_of(number), memory_mb=2**18) for number in range(AGENTS)],
            [
                Guest(
                    uuid=uuid_of(number),
                    name=f"guest-{number}",
                    memory_mb=1024,
                    host=host_of(number),
                )
                for number in range(GUESTS)
            ],
            time.time(),
        )


def processor_seconds(pid: int) -> float:
    """What a process has used, all its threads together."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report_of(host: str) -> Report:
    facts = HostFacts(mem_total_bytes=2**38, mem_available_bytes=2**37)
    number = Number(1, next(REPORTS))
    return Report(host=host, number=number, guests=(), facts=facts, sent_at=time.time())


def connect(url: str) -> list[AgentClient]:
    """A client for each agent, which the controller has answered."""
    clients = [
        AgentClient(bus_conf(url, 30.0), host_of(number), lambda: KEY)
        for number in range(AGENTS)
    ]
    for number, client in enumerate(clients):
        answered(lambda c=client, n=number: c.report(report_of(host_of(n))))
    return clients


def send(clients: list[AgentClient], requests: list[StoreRequest]) -> float:
    """Send all, as many at a time as there are agents: the seconds it took."""
    waiting: queue.SimpleQueue[StoreRequest] = queue.SimpleQueue()
    for request in requests:
        waiting.put(request)
    wrong: list[object] = []

    def agent(client: AgentClient) -> None:
        while True:
            try:
                request = waiting.get_nowait()
            except queue.Empty:
                return
            answer = client.store(request)
            if answer.outcome is not Outcome.STORED:
                wrong.append(answer)

    agents = [threading.Thread(target=agent, args=(client,)) for client in clients]
    started = time.monotonic()
    for thread in agents:
        thread.start()
    for thread in agents:
        thread.join()
    seconds = time.monotonic() - started
    if wrong:
        raise SystemExit(f"{len(wrong)} were not stored, such as {wrong[0]}")
    return seconds


def main() -> int:
    requests = make_requests()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="membuddies-benchmark-")
            )
        )
        broker = stack.enter_context(RabbitMQ(folder))
        server = stack.enter_context(MariaDB(folder, durable=True))
        transport_url = broker.create_vhost("benchmark")
        database_url = server.create_database("benchmark")
        database = Database(database_url)
        schema.upgrade(database)
        place(database)
        pid = stack.enter_context(controller(folder, transport_url, database_url))
        clients = connect(transport_url)
        before = processor_seconds(pid)
        seconds = send(clients, requests)
        used = processor_seconds(pid) - before
        ((rows,),) = server.execute("SELECT COUNT(*) FROM benchmark.fingerprints")
        database.close()
        for client in clients:
            client.close()
    return Figure(
        name="stored_per_second",
        what="fingerprints of distinct 1 GiB guests committed by one controller",
        how="at least",
        asked=ASKED_PER_SECOND,
        measured=rows / seconds,
        unit="per second",
        facts={
            "rows": rows,
            "seconds": round(seconds, 2),
            "mean_body_bytes": round(
                sum(len(request.body) for request in requests) / len(requests)
            ),
            "agents": AGENTS,
            "processors": os.cpu_count(),
            "controller_processor_ms_each": round(1000 * used / rows, 2),
            "load_average": round(os.getloadavg()[0], 1),
        },
    ).publish()


if __name__ == "__main__":
    sys.exit(main())
