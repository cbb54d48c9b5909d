# SPDX-License-Identifier: Apache-2.0
"""Weighers in forked workers, fed by a real controller's end of a real broker."""

import json
import os
import pathlib
import queue
import signal
import subprocess
import sys
import threading
import time

import oslo_messaging
import pytest
from oslo_config import cfg

from membuddies_nova.bus import transport
from membuddies_nova.bus.messages import Outcome, ScoreboardAnswer
from membuddies_nova.bus.server import BusServer
from membuddies_nova.cluster import KsmState
from membuddies_nova.conf import bus, scheduler
from membuddies_nova.scheduler import local_board
from membuddies_nova.scoreboard import codec
from tests.unit.scheduler.requests import IMAGE
from tests.unit.scoreboard.boards import board

ROOT = pathlib.Path(__file__).parents[3]
ROW = ("project:p1", f"image:{IMAGE}")
PATIENCE_SECONDS = 120

NOVA_CONF = """
[membuddies]
transport_url = {url}
rpc_timeout_seconds = 2
board_refresh_seconds = 1
board_age_limit_seconds = 6
sharing_weight_multiplier = 10
"""


def board_sharing(shared_mb):
    """A board of which 1000 MB are asked for."""
    hosts = {"m0": (KsmState.MERGING, 8000), "m1": (KsmState.MERGING, 8000)}
    return codec.encode(board(hosts=hosts, rows={ROW: {"m0": shared_mb}}))


# What nova-scheduler does where its concurrency_backend is eventlet.
GREEN = """
import eventlet
eventlet.monkey_patch()
from tests.functional.scheduler import workers
workers.main(green=True)
"""


class Controller:
    """Answers with a board that a test may change."""

    target = oslo_messaging.Target(version=transport.RPC_VERSION)

    def __init__(self, url):
        self.data = board_sharing(100.0)
        self.bodies_sent = 0
        self.outcome = Outcome.OK
        self.damage = b""
        self.delay_seconds = 0.0
        self._url = url
        self._server = None

    def scoreboard(self, context, message=None):
        time.sleep(self.delay_seconds)
        version = codec.version(self.data)
        body = None
        if message["board_version"] != version:
            body = codec.compress(self.data) + self.damage
            self.bodies_sent += 1
        return ScoreboardAnswer(
            version=version, body=body, outcome=self.outcome
        ).to_json()

    def start(self):
        conf = cfg.ConfigOpts()
        bus.register(conf)
        conf([], default_config_files=[])
        conf.set_override("transport_url", self._url, group=bus.GROUP)
        self._server = BusServer(conf, self, "controller", threads=2)
        self._server.start()

    def stop(self):
        assert self._server.stop(60)


class Scheduler:
    """The process of ``workers.py`` and what it said."""

    def __init__(self, config, program):
        self._child = subprocess.Popen(
            [
                *(sys.executable, "-W", "ignore"),
                *program,
                *("--config-file", str(config)),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._child.stdout:
            self._lines.put(json.loads(line))

    def wait_for(self, **expected):
        """The next line that says all this."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                line = self._lines.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                pytest.fail(f"the scheduler did not say {expected}")
            if expected.items() <= line.items():
                return line

    def fork(self):
        self._child.stdin.write("fork\n")
        self._child.stdin.flush()
        return self.wait_for(event="forked")["worker"]

    def end(self):
        self._child.stdin.close()
        self._child.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        self._child.stdout.close()


@pytest.fixture
def controller(transport_url):
    controller = Controller(transport_url)
    controller.start()
    yield controller
    controller.stop()


@pytest.fixture
def nova_conf(transport_url, tmp_path):
    config = tmp_path / "nova.conf"
    config.write_text(NOVA_CONF.format(url=transport_url))
    return config


@pytest.fixture
def nova_scheduler(nova_conf):
    process = Scheduler(nova_conf, ["-m", "tests.functional.scheduler.workers"])
    yield process
    process.end()


@pytest.fixture
def green_scheduler(nova_conf):
    process = Scheduler(nova_conf, ["-c", GREEN])
    yield process
    process.end()


def test_each_worker_fetches_its_own_board_after_the_fork(controller, nova_scheduler):
    assert nova_scheduler.wait_for(event="master")["threads"] == 1
    first = nova_scheduler.fork()
    nova_scheduler.wait_for(pid=first, event="board", threads=1)
    nova_scheduler.wait_for(pid=first, event="weights", m0=1.0, m1=0.0)
    second = nova_scheduler.fork()
    nova_scheduler.wait_for(pid=second, event="board", threads=1)
    nova_scheduler.wait_for(pid=second, event="weights", m0=1.0, m1=0.0)

    os.kill(first, signal.SIGKILL)
    controller.data = board_sharing(200.0)
    nova_scheduler.wait_for(pid=second, event="weights", m0=2.0)
    respawned = nova_scheduler.fork()
    nova_scheduler.wait_for(pid=respawned, event="board", threads=1)
    nova_scheduler.wait_for(pid=respawned, event="weights", m0=2.0)
    # One for each worker and one more for the one that saw both boards.
    assert controller.bodies_sent == 4


def test_beyond_the_age_limit_workers_are_neutral_until_a_controller_is_back(
    controller, nova_scheduler
):
    worker = nova_scheduler.fork()
    nova_scheduler.wait_for(pid=worker, event="weights", m0=1.0)
    controller.stop()
    nova_scheduler.wait_for(pid=worker, event="weights", m0=0.0, m1=0.0)
    controller.data = board_sharing(300.0)
    controller.start()
    nova_scheduler.wait_for(pid=worker, event="weights", m0=3.0)


def test_workers_are_neutral_while_the_controller_has_no_database(
    controller, nova_scheduler
):
    worker = nova_scheduler.fork()
    nova_scheduler.wait_for(pid=worker, event="weights", m0=1.0)
    controller.outcome = Outcome.UNAVAILABLE
    nova_scheduler.wait_for(pid=worker, event="weights", m0=0.0)
    controller.outcome = Outcome.OK
    nova_scheduler.wait_for(pid=worker, event="weights", m0=1.0)


def test_workers_outlive_a_restart_of_the_broker(rabbitmq, controller, nova_scheduler):
    worker = nova_scheduler.fork()
    nova_scheduler.wait_for(pid=worker, event="weights", m0=1.0)
    rabbitmq.stop()
    rabbitmq.start()
    controller.data = board_sharing(400.0)
    nova_scheduler.wait_for(pid=worker, event="weights", m0=4.0)


def test_workers_of_eventlet_fetch_boards_too(controller, green_scheduler):
    assert green_scheduler.wait_for(event="master")["threads"] == 1
    worker = green_scheduler.fork()
    green_scheduler.wait_for(pid=worker, event="weights", m0=1.0)
    controller.data = board_sharing(200.0)
    green_scheduler.wait_for(pid=worker, event="weights", m0=2.0)


def test_a_worker_that_is_told_to_end_ends(controller, nova_scheduler):
    worker = nova_scheduler.fork()
    nova_scheduler.wait_for(pid=worker, event="weights", m0=1.0)
    os.kill(worker, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while pathlib.Path(f"/proc/{worker}").exists():
        assert time.monotonic() < deadline, "a thread of ours keeps it alive"
        time.sleep(0.1)


@pytest.fixture
def feed(transport_url):
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.StrOpt("host", default="scheduler"))
    bus.register(conf)
    scheduler.register(conf)
    conf([], default_config_files=[])
    conf.set_override("transport_url", transport_url, group=bus.GROUP)
    conf.set_override("rpc_timeout_seconds", 5.0, group=bus.GROUP)
    feed = local_board.BoardFeed(conf)
    yield feed
    feed._client.close()


def newest(feed):
    """The newest board, as soon as the controller answers at all."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        value = feed.newest()
        if value is not None:
            return value
        time.sleep(0.1)
    pytest.fail("no controller answered")


def test_a_board_that_has_not_changed_is_fetched_once(controller, feed):
    assert newest(feed) is newest(feed)
    assert controller.bodies_sent == 1


@pytest.mark.parametrize("damage", ["cut", "newer", "bytes behind"])
def test_a_damaged_board_is_refused_and_asked_for_again(controller, feed, damage):
    good = newest(feed)
    controller.data = board_sharing(200.0)
    if damage == "cut":
        controller.data = controller.data[:-10]
    elif damage == "newer":
        controller.data = controller.data[:4] + b"\x02" + controller.data[5:]
    else:
        controller.damage = b"!"
    assert feed.newest() is None
    controller.damage = b""
    controller.data = board_sharing(300.0)
    again = newest(feed)
    assert again is not good
    assert again.shared_mb(0) == {"m0": 300.0}


def test_an_answer_after_the_deadline_is_no_board_and_harms_no_later_one(
    controller, feed
):
    good = newest(feed)
    feed._conf.set_override("rpc_timeout_seconds", 1.0, group=bus.GROUP)
    slow = local_board.BoardFeed(feed._conf)
    controller.delay_seconds = 3.0
    assert slow.newest() is None
    controller.delay_seconds = 0.0
    # The late answer comes meanwhile, and is of a question that nobody asks any more.
    assert newest(slow).shared_mb(0) == good.shared_mb(0)
    slow._client.close()


def test_a_board_of_200_mb_is_refused_and_the_last_one_stays(controller, feed):
    good = newest(feed)
    controller.data = bytes(200 * 2**20)
    assert feed.newest() is None
    controller.data = board_sharing(100.0)
    assert newest(feed).shared_mb(0) == good.shared_mb(0)


def test_a_wrong_transport_url_is_complained_of_and_no_error():
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.StrOpt("host", default="scheduler"))
    bus.register(conf)
    conf([], default_config_files=[])
    feed = local_board.BoardFeed(conf)
    assert feed.newest() is None
