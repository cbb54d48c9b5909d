# SPDX-License-Identifier: Apache-2.0
"""`membuddies-manage` and `membuddies-status`, on a real database."""

import json
import time

import pytest

from membuddies_nova.db import plans, schema
from tests.functional.cli import known_cloud
from tests.functional.cli.command import one_line
from tests.functional.cli.conftest import shell_of

MANAGE = "membuddies-manage"
STATUS = "membuddies-status"


def test_a_database_is_upgraded_once(database_url, tmp_path):
    shell = shell_of(tmp_path, database_url)
    assert shell.json("db", "version", program=MANAGE) == {
        "version": None,
        "expected": schema.head(),
    }
    first = shell.run("db", "upgrade", program=MANAGE)
    assert (first.returncode, first.stderr) == (0, "")
    assert f"to {schema.head()}" in first.stdout
    assert "already" in shell.run("db", "upgrade", program=MANAGE).stdout
    assert shell.json("host", "list") == []


def test_the_installed_programs_start(shell, sqlite):
    done = shell.process("db", "version", "-f", "value", program=MANAGE)
    assert (done.returncode, done.stderr) == (0, "")
    assert shell.process("upgrade", "check", program=STATUS).returncode == 1


@pytest.mark.parametrize("command", ["upgrade", "version", "purge"])
def test_a_database_that_is_away_is_one_line(tmp_path, command):
    shell = shell_of(tmp_path, "mysql+pymysql://u:secret@127.0.0.1:1/membuddies")
    line = shell.failure("db", command, program=MANAGE)
    assert line.startswith("membuddies-manage: the database ")
    assert "secret" not in line


def test_purge_removes_what_ended_long_ago(shell, filled):
    now = time.time()
    old = known_cloud.add_plan(filled, now - 5 * 86400, state="observed")
    new = known_cloud.add_plan(filled, now, state="observed")
    kept = shell.json("db", "purge", program=MANAGE)
    assert kept["plans"] == 0
    removed = shell.json("db", "purge", "--older-than", "2", program=MANAGE)
    assert (removed["plans"], removed["moves"], removed["fingerprints"]) == (1, 1, 0)
    with filled.reader() as session:
        assert plans.get(session, old) is None
        assert plans.get(session, new) is not None


@pytest.mark.parametrize("days", ["0", "-1", "x"])
def test_purge_refuses_an_age_that_cannot_be(shell, days):
    line = shell.failure("db", "purge", "--older-than", days, program=MANAGE, status=2)
    assert "not a number above 0" in line


def check(shell) -> tuple[int, dict[str, str | None]]:
    """The status of `upgrade check`, and the details of what is wrong."""
    done = shell.run("upgrade", "check", "--json", program=STATUS)
    assert done.stderr == ""
    checks = json.loads(done.stdout)["checks"]
    return done.returncode, {
        each["check"]: each["details"] for each in checks if each["result"]
    }


def test_a_database_in_order_passes_the_upgrade_check(shell, filled):
    assert check(shell) == (0, {})


def test_an_old_database_fails_the_upgrade_check(shell):
    status, wrong = check(shell)
    assert status == 2
    assert "db upgrade" in wrong["Tables"]


def test_a_database_that_is_away_fails_the_upgrade_check(tmp_path):
    shell = shell_of(tmp_path, "mysql+pymysql://u:secret@127.0.0.1:1/membuddies")
    status, wrong = check(shell)
    assert status == 2
    assert "127.0.0.1:1" in wrong["Tables"]
    assert "secret" not in str(wrong)


def test_an_old_inventory_is_a_warning(shell, sqlite):
    assert check(shell) == (
        1,
        {"Inventory": "the inventory was never read: does membuddies-controller run?"},
    )
    known_cloud.fill(sqlite, time.time() - 3600)
    status, wrong = check(shell)
    assert (status, list(wrong)) == (1, ["Inventory"])
    assert " s old" in wrong["Inventory"]


def test_two_keys_are_a_warning_that_names_both(shell, sqlite):
    known_cloud.fill(sqlite, time.time(), {known_cloud.DB_1: known_cloud.OTHER_KEY})
    status, wrong = check(shell)
    assert status == 1
    assert f"2 under key {known_cloud.KEY.key_id.hex()}" in wrong["Fingerprint keys"]
    assert known_cloud.OTHER_KEY.key_id.hex() in wrong["Fingerprint keys"]


def test_a_configuration_file_that_is_missing_is_one_line(tmp_path):
    shell = shell_of(tmp_path, "sqlite://")
    shell.config_file.unlink()
    done = shell.run("upgrade", "check", program=STATUS)
    assert "membuddies.conf" in one_line(done, 2)
