# SPDX-License-Identifier: Apache-2.0
"""How the installed programs start, end and fail, whatever the command."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
import sqlalchemy

from membuddies_nova.db import schema, switches
from membuddies_nova.db.api import Database
from tests.functional.cli.command import MEMBUDDIES, one_line
from tests.functional.cli.conftest import shell_of

COMMANDS = (
    ("host", "list"),
    ("guest", "list"),
    ("guest", "show", "web-1"),
    ("plan", "list"),
    ("plan", "show", "p1"),
    ("plan", "approve", "p1"),
    ("plan", "cancel", "p1"),
    ("pause",),
    ("resume",),
    ("status",),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_database_without_tables_is_one_line_that_says_what_to_do(shell, command):
    assert "membuddies-manage db upgrade" in shell.failure(*command)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_database_that_is_away_is_one_line(tmp_path, command):
    shell = shell_of(tmp_path, "mysql+pymysql://u:secret@127.0.0.1:1/membuddies")
    line = shell.failure(*command)
    assert "127.0.0.1:1" in line
    assert "secret" not in line


def test_the_installed_programs_fail_as_their_functions_do(shell):
    assert "db upgrade" in one_line(shell.process("host", "list"), 1)
    assert "no such file" in one_line(
        type(shell)(Path("/nowhere.conf")).process("host", "list"), 2
    )


def test_the_installed_program_lists_hosts(shell, filled):
    done = shell.process("host", "list", "-f", "value", "-c", "host")
    assert (done.returncode, done.stdout, done.stderr) == (0, "c1\nc2\n", "")


def test_a_traceback_is_shown_to_who_asks_for_it(shell):
    done = shell.run("--debug", "host", "list")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_configuration_file_that_cannot_be_read_is_a_wrong_call(shell, tmp_path):
    shell.config_file.write_text("no section = here\n")
    assert "membuddies.conf" in shell.failure("host", "list", status=2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("host",), "'host' is no command"),
        (("bogus", "list"), "'bogus list' is no command"),
        (("host", "list", "--bogus"), "--bogus"),
        (("host", "list", "--max-age", "-1"), "'-1' is not a number above 0"),
        (("guest", "show"), "GUEST"),
        (("plan", "list", "--limit", "0"), "from 1"),
    ],
)
def test_a_wrong_call_is_one_line(shell, arguments, words):
    assert words in shell.failure(*arguments, status=2)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_tells_what_a_command_does_with_an_example(shell, command):
    words = [word for word in command if word not in ("web-1", "p1")]
    done = shell.run(*words, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"usage: membuddies {' '.join(words)}" in done.stdout
    assert f"$ membuddies {' '.join(words)}" in done.stdout


def test_without_a_command_all_are_listed(shell):
    done = shell.run()
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("host list", "guest show", "plan approve", "pause", "status"):
        assert f"  {command} " in done.stdout


def test_a_reader_that_leaves_early_is_no_error(shell, filled):
    done = subprocess.run(
        f"{MEMBUDDIES} --config-file {shell.config_file} host list | true; "
        f"echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "141")


def test_an_interrupt_ends_it_without_a_word(tmp_path, mariadb_url):
    """While it waits for a row that another transaction has locked."""
    database = Database(mariadb_url)
    schema.upgrade(database)
    shell = shell_of(tmp_path, mariadb_url)
    shell.run("pause")
    with database.writer() as session:
        switches.pause(session, "another", "locks the row", time.time())
        session.flush()
        # A shell's job in the background ignores SIGINT, and so do its children.
        command = ["env", "--default-signal=INT", MEMBUDDIES, "--config-file"]
        process = subprocess.Popen(
            [*command, shell.config_file, "pause"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not _somebody_waits(database):
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    database.close()
    assert (process.returncode, out, err) == (130, "", "")


def _somebody_waits(database):
    with database.reader() as session:
        waiting = "select 1 from information_schema.innodb_trx where trx_state = :state"
        state = {"state": "LOCK WAIT"}
        return session.execute(sqlalchemy.text(waiting), state).first() is not None
