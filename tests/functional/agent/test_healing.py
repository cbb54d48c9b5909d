# SPDX-License-Identifier: Apache-2.0
"""What was lost comes back: a real agent, guest, broker, controller, database."""

import contextlib
import threading
import time

import pytest
import sqlalchemy

from membuddies_nova.bus.server import BusServer
from membuddies_nova.cluster import Guest, Host, Scope
from membuddies_nova.conf import agent
from membuddies_nova.controller.admission import Admission
from membuddies_nova.controller.board import Board
from membuddies_nova.controller.endpoint import Endpoint
from membuddies_nova.controller.tally import Tally
from membuddies_nova.db import fingerprints, inventory, models
from membuddies_nova.fingerprint import seal
from tests.functional.agent.controller import WAIT_SECONDS, running

PREFIX = "6f0c2f3e-0000-4000-8000-00000000a0"
LONG = 3600.0


class Bench:
    """A controller that Nova has told of one guest, and what it has of it."""

    def __init__(self, database, uuid: str) -> None:
        self.database = database
        self.tally = Tally()
        self.uuid = uuid
        with database.writer() as session:
            assert inventory.replace(
                session,
                [Host(name="compute-1", memory_mb=2**20)],
                [Guest(uuid=uuid, name="g", memory_mb=64, host="compute-1")],
                time.time(),
            )

    @contextlib.contextmanager
    def answering(self, conf, age_limit_seconds=LONG, endpoint=Endpoint):
        board = Board(
            self.database,
            scope=Scope.PROJECT,
            report_age_limit_seconds=LONG,
            full_scan_age_limit_seconds=LONG,
            forget_fingerprint_seconds=LONG,
        )
        admission = Admission(self.database, self.tally, 2, age_limit_seconds)
        keys = seal.KeyFile(conf.agent.key_file)
        answers = endpoint(keys, admission, board, self.tally)
        server = BusServer(conf, answers, "controller-1", threads=2)
        server.start()
        try:
            yield
        finally:
            assert server.stop(WAIT_SECONDS)

    def stored(self, condition=lambda one: True):
        """The guest's stored fingerprint, once it is as asked."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            with self.database.reader() as session:
                for one in fingerprints.summaries(session):
                    if one.guest == self.uuid and condition(one):
                        return one
            time.sleep(0.1)
        raise AssertionError(f"not within {WAIT_SECONDS} s")


@pytest.fixture
def bench(database, libvirt, request):
    uuid = PREFIX + f"{sum(request.node.name.encode()) % 256:02x}"
    libvirt.create(libvirt.still_guest(uuid))
    return Bench(database, uuid)


@pytest.fixture
def still(conf):
    """The guest is scanned once; only what is asked for happens afterwards."""
    conf.set_override("scan_interval_seconds", LONG, agent.GROUP)
    conf.set_override("scan_interval_max_seconds", LONG, agent.GROUP)
    return conf


def test_an_emptied_database_is_filled_again_by_the_next_report(bench, still):
    with bench.answering(still), running(still):
        first = bench.stored()
        with bench.database.writer() as session:
            session.execute(sqlalchemy.delete(models.Fingerprint))
        reports = bench.tally.counts()["reports"]
        again = bench.stored()
        # The report under way when the rows went, and the one that heals.
        assert bench.tally.counts()["reports"] <= reports + 2
    assert (again.number, again.digest) == (first.number, first.digest)
    # Once more where an answer came too late on a busy machine.
    assert bench.tally.counts()["wanted:unknown"] >= 2


def test_a_store_that_was_lost_is_made_again_after_the_next_report(bench, still):
    lost = threading.Event()
    over = threading.Event()

    class Losing(Endpoint):
        def store(self, context, /, message=None, **newer):
            if not lost.is_set():
                # Taken from the broker, and never answered.
                lost.set()
                over.wait(WAIT_SECONDS)
                raise ConnectionError("this controller has died")
            return super().store(context, message, **newer)

    still.set_override("rpc_timeout_seconds", 2.0, "membuddies")
    with bench.answering(still, endpoint=Losing), running(still):
        assert lost.wait(WAIT_SECONDS)
        first = bench.stored()
        over.set()
    assert first.number.counter == 1
    assert bench.tally.counts()["stored"] == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_fingerprint_that_is_not_stored_is_asked_for_after_the_broker_is_back(
    bench, still, rabbitmq
):
    with bench.answering(still), running(still):
        bench.stored()
        rabbitmq.kill()
        rabbitmq.start()
        with bench.database.writer() as session:
            session.execute(sqlalchemy.delete(models.Fingerprint))
        assert bench.stored().number.counter == 1


def test_an_expired_fingerprint_is_made_anew_long_before_its_time(bench, still):
    with bench.answering(still, age_limit_seconds=1.0), running(still):
        first = bench.stored()
        later = bench.stored(lambda one: one.scanned_at > first.scanned_at + 1)
    assert later.number > first.number
    assert bench.tally.counts()["wanted:expired"] >= 1


def test_an_unchanged_fingerprint_is_neither_sent_nor_written_again(bench, conf):
    with bench.answering(conf), running(conf):
        # The second scan tells which pages are stable, and two scans agree.
        before = bench.stored()
        while True:
            last = bench.stored(lambda one, seen=before: one.number > seen.number)
            if last.digest == before.digest:
                break
            before = last
        counts = bench.tally.counts()
        later = bench.stored(lambda one: one.number.counter >= last.number.counter + 2)
        after = bench.tally.counts()
    assert later.digest == last.digest
    assert (later.stored_at, later.sequence) == (last.stored_at, last.sequence)
    assert later.scanned_at > last.scanned_at
    sent = {"stored", "unchanged", "wanted:differs"}
    assert [after.get(kind) for kind in sent] == [counts.get(kind) for kind in sent]
