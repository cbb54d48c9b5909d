# SPDX-License-Identifier: Apache-2.0
"""Bytes on the wire for an idle cloud, against sending all each time.

The agent's own reporter, shelf and pace, on a clock of its own, with real
sealing, a real RabbitMQ, and the controller's own endpoint on a real database.
Its guests of 1 GiB are like the recorded ones and as quiet as the quietest of
these: at each scan 3 % of the pages have another content, always the same pages
(``bw-nginx-1`` of the corpus, 90 seconds apart). So no two fingerprints of a
guest are equal. Counted is what RabbitMQ receives, reports included, once the
intervals have settled; beside it what it receives if every fingerprint is sent
with every report, and the same for guests of which nothing changes at all.

Run: python -m tests.benchmarks.idle_cloud
"""

import contextlib
import itertools
import pathlib
import sys
import tempfile
import time

import numpy as np

from membuddies_agent.guests import Guest
from membuddies_agent.host_facts import HostFactsReader
from membuddies_agent.pace import Pace
from membuddies_agent.procfs import Process
from membuddies_agent.reporter import Reporter
from membuddies_agent.shelf import Shelf
from membuddies_nova import cluster
from membuddies_nova.bus.client import AgentClient
from membuddies_nova.bus.messages import StoreRequest
from membuddies_nova.bus.server import BusServer
from membuddies_nova.cluster import Host, Scope
from membuddies_nova.conf import agent as options
from membuddies_nova.controller.admission import Admission
from membuddies_nova.controller.board import Board
from membuddies_nova.controller.endpoint import Endpoint
from membuddies_nova.controller.tally import Tally
from membuddies_nova.db import inventory, schema
from membuddies_nova.db.api import Database
from membuddies_nova.fingerprint import seal
from membuddies_nova.fingerprint.sample import MIN_SHIFT, Sample
from tests.benchmarks.figure import Figure
from tests.benchmarks.guests import KEY, like_recorded
from tests.benchmarks.tap import Tap, tapped
from tests.functional.bus.configuration import answered, bus_conf
from tests.functional.services import RabbitMQ

ASKED = 5.0
GUESTS = 20
GUEST_PAGES = 2**30 // 4096
IN_MOTION = 0.03
SETTLED_SECONDS = 4 * 3600.0
COUNTED_SECONDS = 2 * 3600.0
HOST = "compute-1"
LONG = 1e9


def default(name: str) -> float:
    (option,) = (one for one in options.OPTIONS if one.name == name)
    return float(option.default)


PERIOD_SECONDS = default("report_period_seconds")


class Node:
    """A compute node's agent, whose clock is set by hand.

    :param in_motion: part of each guest's pages that are another at each scan
    """

    def __init__(
        self, client: AgentClient, tap: Tap, keys: seal.KeyFile, in_motion: float
    ) -> None:
        self._client, self._tap = client, tap
        self._seconds = 0.0
        self._began_at = time.time() - SETTLED_SECONDS - COUNTED_SECONDS
        started = int(time.time() * 1000)
        self._shelf = Shelf(started, KEY)
        self._pace = Pace(
            default("scan_interval_seconds"),
            default("scan_interval_max_seconds"),
            clock=lambda: self._seconds,
        )
        samples = itertools.islice(like_recorded(GUEST_PAGES), GUESTS)
        self._random = np.random.default_rng(1)
        self._in_motion = in_motion
        self._guests = {
            (uuid_of(number), Process(number + 1, 1)): sample
            for number, sample in enumerate(samples)
        }
        self.scans = self.stores = 0
        self._reporter = Reporter(
            self,
            host=HOST,
            started=started,
            list_guests=lambda: tuple(
                Guest(uuid=uuid, process=process, reason=None)
                for uuid, process in self._guests
            ),
            shelf=self._shelf,
            host_facts=HostFactsReader(),
            keys=keys,
            period_seconds=PERIOD_SECONDS,
            scan_soon=self._pace.hurry,
            tell_sources=lambda _sources: None,
        )
        self._bytes = 0

    def report(self, report):
        answer = self._client.report(report)
        self._bytes += self._tap.next_bytes()
        return answer

    def store(self, request: StoreRequest):
        answer = self._client.store(request)
        self._bytes += self._tap.next_bytes()
        self.stores += 1
        return answer

    def period(self) -> int:
        """One report period: the bytes that the broker received."""
        before = self._bytes
        while (due := self._pace.oldest_due(self._guests)) is not None:
            sample = self._moved(self._guests[due])
            now = self._began_at + self._seconds
            fingerprint = self._shelf.put(*due, sample, now)
            self._pace.note(due, fingerprint.changed)
            self.scans += 1
        self._reporter.report()
        self._seconds += PERIOD_SECONDS
        return self._bytes - before

    def send_all(self) -> int:
        """Every fingerprint as it is: the bytes that the broker received."""
        before = self._bytes
        for uuid, _ in self._guests:
            newest = self._shelf.newest(uuid)
            self.store(
                StoreRequest(
                    host=HOST,
                    guest=uuid,
                    number=newest.number,
                    digest=newest.digest,
                    scanned_at=newest.scanned_at,
                    body=newest.body,
                )
            )
        return self._bytes - before

    def _moved(self, sample: Sample) -> Sample:
        """A guest's sample, with other content in the pages that are in motion."""
        count = round(len(sample.items) * self._in_motion)
        others = self._random.integers(0, 2 ** (64 - MIN_SHIFT), count, np.uint64)
        # The ids are as good as random: every so many of them is any of them.
        items = sample.items.copy()
        if count:
            items[:: len(items) // count][:count] = others
        return Sample.of_unique(np.unique(items), sample.counters, shift=MIN_SHIFT)


def uuid_of(number: int) -> str:
    return f"6f0c2f3e-0000-4000-8000-{number:012d}"


def place(database: Database) -> None:
    with database.writer() as session:
        inventory.replace(
            session,
            [Host(name=HOST, memory_mb=2**16)],
            [
                cluster.Guest(uuid=uuid_of(number), name="g", memory_mb=1024, host=HOST)
                for number in range(GUESTS)
            ],
            time.time(),
        )


def measure(folder: pathlib.Path, url: str, in_motion: float) -> dict[str, float]:
    """Bytes a period when settled, and what goes with them."""
    database = Database(f"sqlite:///{folder}/membuddies-{in_motion}.sqlite")
    schema.upgrade(database)
    place(database)
    key_file = folder / f"key-{in_motion}"
    key_file.write_text(bytes(range(32)).hex())
    key_file.chmod(0o600)
    tally = Tally()
    board = Board(
        database,
        scope=Scope.PROJECT,
        report_age_limit_seconds=LONG,
        full_scan_age_limit_seconds=LONG,
        forget_fingerprint_seconds=LONG,
    )
    keys = seal.KeyFile(key_file)
    endpoint = Endpoint(keys, Admission(database, tally, 2, LONG), board, tally)
    server = BusServer(bus_conf(url), endpoint, "controller-1", threads=2)
    client = AgentClient(bus_conf(url, 30.0), HOST, lambda: KEY)
    server.start()
    answered(lambda: client.scoreboard(None))
    with tapped(url) as tap:
        node = Node(client, tap, keys, in_motion)
        for _ in range(int(SETTLED_SECONDS / PERIOD_SECONDS)):
            node.period()
        node.scans = node.stores = 0
        periods = [node.period() for _ in range(int(COUNTED_SECONDS / PERIOD_SECONDS))]
        scans, stores = node.scans, node.stores
        # A period in which nothing is due is the report alone.
        all_each_time = node.send_all() + min(periods)
    server.stop(10.0)
    client.close()
    database.close()
    return {
        "bytes_a_period": sum(periods) / len(periods),
        "report_bytes": min(periods),
        "all_each_time_bytes": all_each_time,
        "scans_a_guest_an_hour": scans / GUESTS / (COUNTED_SECONDS / 3600),
        "sent_a_guest_an_hour": stores / GUESTS / (COUNTED_SECONDS / 3600),
    }


def main() -> int:
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="membuddies-benchmark-")
            )
        )
        broker = stack.enter_context(RabbitMQ(folder))
        quiet = measure(folder, broker.create_vhost("quiet"), IN_MOTION)
        still = measure(folder, broker.create_vhost("still"), 0.0)
    each_scan = PERIOD_SECONDS / default("scan_interval_seconds")
    bodies = quiet["all_each_time_bytes"] - quiet["report_bytes"]
    return Figure(
        name="idle_cloud",
        what="sending all each time, as a multiple of what an idle cloud sends",
        how="at least",
        asked=ASKED,
        measured=quiet["all_each_time_bytes"] / quiet["bytes_a_period"],
        unit="x",
        facts={
            "guests": f"{GUESTS} of 1 GiB, {IN_MOTION:.0%} of pages in motion",
            **{name: round(value, 2) for name, value in quiet.items()},
            "against_all_at_the_shortest_scan_interval": round(
                (bodies * each_scan + quiet["report_bytes"]) / quiet["bytes_a_period"],
                1,
            ),
            "of_guests_that_hold_quite_still": round(
                still["all_each_time_bytes"] / still["bytes_a_period"], 1
            ),
            "sent_an_hour_of_guests_that_hold_quite_still": still[
                "sent_a_guest_an_hour"
            ],
        },
    ).publish()


if __name__ == "__main__":
    sys.exit(main())
