# SPDX-License-Identifier: Apache-2.0
"""``membuddies-controller`` as a process: started, reloaded, reported, ended."""

import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from membuddies_nova.bus.client import BusRefused
from membuddies_nova.bus.messages import Outcome
from membuddies_nova.db import inventory, schema, services
from membuddies_nova.db.api import Database
from tests.functional.bus.configuration import answered, eventually
from tests.functional.controller.agents import (
    KEY,
    OTHER_KEY,
    OTHER_SECRET,
    SECRET,
    Agent,
    place,
    uuid_of,
)
from tests.functional.services import free_port

PROGRAM = pathlib.Path(sys.executable).with_name("membuddies-controller")


class Controller:
    """A controller's process with its configuration and its log."""

    def __init__(self, folder, transport_url, database_url, key_file):
        self.folder = folder
        self.log = folder / "controller.log"
        self.conf = folder / "membuddies.conf"
        self.options = {
            "DEFAULT": {"graceful_shutdown_timeout": 30},
            "membuddies": {"transport_url": transport_url},
            "database": {"connection": database_url},
            "controller": {"host": "c1", "key_file": key_file},
            # Nobody answers there: the inventory stays as the test wrote it.
            "inventory": {
                "auth_type": "password",
                "auth_url": f"http://127.0.0.1:{free_port()}/",
                "username": "reader",
                "password": "secret",
                "project_name": "service",
                "user_domain_name": "Default",
                "project_domain_name": "Default",
                "period_seconds": 1,
            },
        }
        self.process = None

    def write(self):
        lines = []
        for group, options in self.options.items():
            lines.append(f"[{group}]")
            lines.extend(f"{name} = {value}" for name, value in options.items())
        self.conf.write_text("\n".join(lines) + "\n")

    def start(self, **environment):
        self.write()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "--config-file", self.conf],
                stdout=log,
                stderr=log,
                # A dependency warns where eventlet is installed too, as beside Nova.
                env={"PYTHONWARNINGS": "ignore", **environment},
            )

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(60)

    def says(self, text):
        assert self.process.poll() is None, self.log.read_text()
        return text in self.log.read_text()


@pytest.fixture
def database(mariadb_url):
    database = Database(mariadb_url)
    schema.upgrade(database)
    yield database
    database.close()


@pytest.fixture
def controller(tmp_path, transport_url, mariadb_url, key_file):
    controller = Controller(tmp_path, transport_url, mariadb_url, key_file)
    yield controller
    if controller.process is not None and controller.process.poll() is None:
        controller.process.kill()
        controller.process.wait()


def beat(database):
    with database.reader() as session:
        beats = services.all(session)
    return beats[0] if beats else None


def test_a_controller_serves_beats_and_ends_at_sigterm(controller, database, client):
    place(database, time.time(), h1=(1,))
    controller.start()
    agent = Agent("h1")
    request = agent.scan(1)
    wanted = answered(lambda: client.report(agent.report())).wanted
    assert [one.guest for one in wanted] == [uuid_of(1)]
    assert client.store(request).outcome is Outcome.STORED

    first = eventually(lambda: beat(database))
    assert (first.binary, first.host) == ("membuddies-controller", "c1")
    later = eventually(
        lambda: (found := beat(database)).beat_at > first.beat_at and found
    )
    assert later.detail["counts"]["stored"] == 1

    with database.reader() as session:
        assert "127.0.0.1" in inventory.state(session).error
    assert controller.end() == 0
    text = controller.log.read_text()
    assert "Traceback" not in text
    assert "secret" not in text


def test_sighup_reads_mutable_options_again(controller, database, client):
    controller.start()
    agent = Agent("h1")
    answered(lambda: client.report(agent.report()))
    client.scoreboard(None)
    assert not controller.says("Scoreboard of")

    controller.options["DEFAULT"]["debug"] = "true"
    controller.write()
    controller.process.send_signal(signal.SIGHUP)
    eventually(lambda: controller.says("The configuration was read again"))
    client.scoreboard(None)
    eventually(lambda: controller.says("Scoreboard of"))

    controller.conf.write_text("this is no configuration")
    controller.process.send_signal(signal.SIGHUP)
    eventually(lambda: controller.says("The configuration was not read again"))
    assert client.report(agent.report()).outcome is Outcome.OK
    assert controller.end() == 0


def test_a_key_file_is_read_again_at_sighup_and_a_bad_one_changes_nothing(
    controller, database, client, key_file
):
    controller.start()
    agent = Agent("h1")
    answered(lambda: client.report(agent.report()))

    def reload(text):
        controller.process.send_signal(signal.SIGHUP)
        eventually(lambda: controller.says(text))

    key_file.chmod(0o644)
    reload("was not read again: key file")
    assert client.report(agent.report()).outcome is Outcome.OK

    key_file.chmod(0o600)
    key_file.write_text(OTHER_SECRET.hex())
    reload(f"believed under key {OTHER_KEY.key_id.hex()}")
    with pytest.raises(BusRefused, match=KEY.key_id.hex()):
        client.report(agent.report())

    key_file.write_text(f"{OTHER_SECRET.hex()}\n{SECRET.hex()}\n")
    reload(f"{OTHER_KEY.key_id.hex()} and {KEY.key_id.hex()}")
    assert client.report(agent.report()).outcome is Outcome.OK
    assert controller.end() == 0
    text = controller.log.read_text()
    assert SECRET.hex() not in text
    assert OTHER_SECRET.hex() not in text


def test_systemd_hears_when_it_runs(controller, database, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(path))
        notify.settimeout(60)
        controller.start(NOTIFY_SOCKET=str(path))
        assert notify.recv(100) == b"READY=1"
    assert controller.end() == 0


def test_sigusr2_writes_a_guru_meditation_report(controller, database, client):
    controller.start()
    answered(lambda: client.report(Agent("h1").report()))
    controller.process.send_signal(signal.SIGUSR2)
    eventually(lambda: controller.says("Guru Meditation"))
    eventually(lambda: controller.says("heartbeat"))
    assert controller.end() == 0
    assert "secret" not in controller.log.read_text()


def test_it_ends_in_time_with_neither_broker_nor_database(controller):
    controller.options["membuddies"]["transport_url"] = (
        f"rabbit://guest:guest@127.0.0.1:{free_port()}/"
    )
    controller.options["database"]["connection"] = (
        f"mysql+pymysql://root@127.0.0.1:{free_port()}/membuddies"
    )
    controller.start()
    eventually(lambda: controller.says("heartbeat failed: the database"))
    assert controller.end() == 0


@pytest.mark.parametrize(
    ("group", "options", "problem"),
    [
        ("membuddies", {}, "[membuddies] transport_url is not set"),
        ("database", {"connection": "nonsense"}, "[database] connection"),
        ("inventory", {}, "[inventory] names no credentials"),
        ("controller", {"store_workers": "0"}, "store_workers"),
        ("controller", {"key_file": "/nowhere/seal.key"}, "key file /nowhere/seal.key"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_one_line(
    controller, group, options, problem
):
    before = controller.options[group] if options else {}
    controller.options[group] = {**before, **options}
    controller.start()
    assert controller.process.wait(60) == 1
    (line,) = controller.log.read_text().splitlines()
    assert problem in line


def test_a_missing_configuration_file_is_one_line(controller):
    controller.start()
    controller.end()
    controller.log.unlink()
    controller.conf = controller.folder / "missing.conf"
    controller.write = lambda: None
    controller.start()
    assert controller.process.wait(60) == 1
    (line,) = controller.log.read_text().splitlines()
    assert "missing.conf" in line
