# SPDX-License-Identifier: Apache-2.0
"""Rebalancers as processes: killed in mid-move, started again, two at a time.

Real processes, a real database and an emulated Nova. Migrations that are held
keep a move in the middle for as long as a test needs.
"""

import contextlib
import signal
import subprocess
import sys
import time

import pytest

from membuddies_nova.db import leases, plans, services
from membuddies_nova.db.api import DatabaseUnavailableError
from tests.functional.rebalancer import rows
from tests.functional.rebalancer.rows import move

PATIENCE_SECONDS = 150
INVENTORY_SECONDS = 10


class Processes:
    """Rebalancers that share a database and a Nova."""

    def __init__(self, database, database_url, emulator, nova_options, folder) -> None:
        self.database = database
        self.emulator = emulator
        self.folder = folder
        self.nova_options = nova_options
        self.database_url = database_url
        self.running: list[subprocess.Popen] = []
        self.inventory_at = float("inf")

    def start(self, name: str, **options) -> subprocess.Popen:
        settings = {
            "host": name,
            "mode": "recommend",
            "lease_seconds": 3,
            "poll_seconds": 0.1,
            "max_moves_per_source": 2,
            "max_moves_per_destination": 2,
            **options,
        }
        lines = [f"{key} = {value}" for key, value in settings.items()]
        path = self.folder / f"{name}.conf"
        path.write_text(
            f"[database]\nconnection = {self.database_url}\n"
            f"{self.nova_options.read_text()}" + "\n".join(lines) + "\n"
        )
        with (self.folder / f"{name}.log").open("a") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "membuddies_nova.cmd.rebalancer",
                    "--config-file",
                    str(path),
                ],
                stdout=log,
                stderr=log,
            )
        self.running.append(process)
        return process

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def until(self, condition, what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                logs = "\n".join(
                    f"--- {path.name}\n{path.read_text()[-3000:]}"
                    for path in self.folder.glob("*.log")
                )
                pytest.fail(f"it never came to this: {what}\n{logs}")
            if time.time() > self.inventory_at + INVENTORY_SECONDS:
                self.read_inventory()
            time.sleep(0.1)

    def read_inventory(self) -> None:
        """What the controller would do meanwhile."""
        self.inventory_at = time.time()
        with contextlib.suppress(DatabaseUnavailableError):
            rows.store_inventory(self.database, self.emulator, self.inventory_at)

    def store(self, *moves) -> str:
        self.read_inventory()
        now = time.time()
        return rows.store_plan(self.database, *moves, now=now, state="approved")

    def states(self, plan_id: str) -> list[str]:
        return [record.state for record in rows.move_rows(self.database, plan_id)]

    def leader(self) -> str | None:
        with self.database.reader() as session:
            holder = leases.holder(session, "rebalancer", time.time())
        return None if holder is None else holder.split(":")[0]

    def beats(self) -> dict:
        with self.database.reader() as session:
            return {
                beat.host: dict(beat.detail)
                for beat in services.all(session)
                if beat.binary == "membuddies-rebalancer"
            }


@pytest.fixture
def database_url(mariadb_url):
    """Processes share a server; the other tests show both kinds of databases."""
    return mariadb_url


@pytest.fixture
def processes(database, database_url, emulator, nova_options, tmp_path):
    processes = Processes(database, database_url, emulator, nova_options, tmp_path)
    yield processes
    for process in processes.running:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_a_rebalancer_killed_in_mid_move_follows_it_when_started_again(processes):
    server = processes.emulator.add_server("c1", held=True)
    plan_id = processes.store(move(server, "c2"))
    first = processes.start("r1")
    processes.until(
        lambda: processes.states(plan_id) == ["running"], "the move is running"
    )

    first.send_signal(signal.SIGKILL)
    first.wait()
    server.held = False
    processes.start("r1")
    processes.until(lambda: processes.states(plan_id) == ["done"], "the move is done")

    assert processes.emulator.posts == [server.uuid]
    assert len(processes.emulator.records) == 1
    assert server.host == "c2"


def test_the_other_rebalancer_takes_over_in_mid_wave(processes):
    held = [processes.emulator.add_server("c1", held=True) for _ in range(2)]
    later = processes.emulator.add_server("c1")
    plan_id = processes.store(
        move(held[0], "c2"), move(held[1], "c2"), move(later, "c3", wave=2)
    )
    first = processes.start("r1")
    processes.until(lambda: processes.leader() == "r1", "r1 leads")
    processes.start("r2")
    processes.until(
        lambda: processes.states(plan_id) == ["running", "running", "planned"],
        "the first wave is under way",
    )

    first.send_signal(signal.SIGKILL)
    first.wait()
    processes.until(lambda: processes.leader() == "r2", "r2 leads")
    for server in held:
        server.held = False
    processes.until(
        lambda: processes.states(plan_id) == ["done", "done", "done"],
        "r2 has ended the plan",
    )

    assert sorted(processes.emulator.posts) == sorted(
        server.uuid for server in (*held, later)
    )
    holders = {
        r.holder.split(":")[0] for r in rows.move_rows(processes.database, plan_id)
    }
    assert holders == {"r2"}


def test_a_leader_that_stalls_longer_than_its_lease_starts_nothing_afterwards(
    processes,
):
    server = processes.emulator.add_server("c1", held=True)
    later = processes.emulator.add_server("c1")
    plan_id = processes.store(move(server, "c2"), move(later, "c3", wave=2))
    first = processes.start("r1")
    processes.until(
        lambda: processes.states(plan_id) == ["running", "planned"], "r1 moves"
    )
    processes.start("r2")

    first.send_signal(signal.SIGSTOP)
    processes.until(lambda: processes.leader() == "r2", "r2 leads")
    server.held = False
    first.send_signal(signal.SIGCONT)
    processes.until(
        lambda: processes.states(plan_id) == ["done", "done"], "r2 has ended the plan"
    )

    assert processes.emulator.posts == [server.uuid, later.uuid]
    assert processes.leader() == "r2"


def test_sigterm_ends_in_time_and_aborts_nothing(processes):
    server = processes.emulator.add_server("c1", held=True)
    later = processes.emulator.add_server("c1")
    plan_id = processes.store(move(server, "c2"), move(later, "c3", wave=2))
    first = processes.start("r1")
    processes.until(
        lambda: processes.states(plan_id) == ["running", "planned"], "r1 moves"
    )

    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=30) == 0

    assert processes.states(plan_id) == ["running", "planned"]
    assert processes.emulator.aborts == []
    assert processes.leader() is None
    assert "Traceback" not in processes.log("r1")
    server.held = False
    processes.start("r2")
    processes.until(
        lambda: processes.states(plan_id) == ["done", "done"], "r2 has ended the plan"
    )
    assert processes.emulator.posts == [server.uuid, later.uuid]


def test_only_the_leader_leads_and_both_say_that_they_live(processes):
    processes.start("r1", mode="observe")
    processes.until(lambda: processes.leader() == "r1", "r1 leads")
    processes.start("r2", mode="observe")
    processes.until(lambda: set(processes.beats()) == {"r1", "r2"}, "both live")

    beats = processes.beats()
    assert (beats["r1"]["leader"], beats["r2"]["leader"]) == (True, False)
    assert beats["r1"]["mode"] == "observe"


def test_missing_credentials_stop_the_start_with_one_line(processes):
    processes.nova_options.write_text("[rebalancer]\n")

    process = processes.start("r1")

    assert process.wait(timeout=60) not in (0, None)
    assert "names no credentials" in processes.log("r1")
    assert "Traceback" not in processes.log("r1")


def test_a_window_that_cannot_be_read_stops_the_start_with_one_line(processes):
    process = processes.start("r1", mode="auto", auto_windows="at night")

    assert process.wait(timeout=60) not in (0, None)
    assert "Mon-Fri 22:00-05:00" in processes.log("r1")
    assert "Traceback" not in processes.log("r1")


def test_a_plan_approved_while_nobody_runs_is_run_by_who_comes(processes):
    server = processes.emulator.add_server("c1")
    plan_id = processes.store(move(server, "c2"))

    processes.start("r1")
    processes.until(lambda: processes.states(plan_id) == ["done"], "the move is done")

    with processes.database.reader() as session:
        assert plans.get(session, plan_id).state in ("running", "done")


def test_a_reload_changes_the_mode_of_a_running_rebalancer(processes):
    server = processes.emulator.add_server("c1")
    plan_id = processes.store(move(server, "c2"))
    process = processes.start("r1", mode="observe")
    processes.until(
        lambda: "the mode is observe" in processes.log("r1"), "r1 waits for the mode"
    )

    path = processes.folder / "r1.conf"
    path.write_text(path.read_text().replace("mode = observe", "mode = recommend"))
    process.send_signal(signal.SIGHUP)
    processes.until(lambda: processes.states(plan_id) == ["done"], "the move is done")

    assert process.poll() is None


def test_the_database_away_ends_nothing(processes, mariadb):
    server = processes.emulator.add_server("c1", held=True)
    plan_id = processes.store(move(server, "c2"))
    process = processes.start("r1")
    processes.until(
        lambda: processes.states(plan_id) == ["running"], "the move is running"
    )

    mariadb.stop()
    processes.until(
        lambda: "Waiting: the database" in processes.log("r1"), "r1 notices"
    )
    server.held = False
    mariadb.start()
    processes.until(lambda: processes.states(plan_id) == ["done"], "the move is done")

    assert process.poll() is None
    assert processes.emulator.posts == [server.uuid]
    assert "Traceback" not in processes.log("r1")
