# SPDX-License-Identifier: Apache-2.0
"""A database of the test's own, and the commands of an operator beside it."""

import contextlib
import dataclasses
import io
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from membuddies_nova.cli import app, manage, upgrade_check
from membuddies_nova.db import schema
from membuddies_nova.db.api import Database
from tests.functional.cli import known_cloud

PROGRAMS = {
    "membuddies": app.main,
    "membuddies-manage": manage.main,
    "membuddies-status": upgrade_check.main,
}


@pytest.fixture(autouse=True)
def _no_voice_of_other_tests_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep threads that still look for the broker of a test before off stderr.

    The commands run in this process and none of them speaks to a broker.
    """
    monkeypatch.setattr(logging.getLogger("oslo.messaging"), "propagate", False)


@dataclasses.dataclass(frozen=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


class Shell:
    """Runs commands with one configuration file.

    Most by the entry point's function, because starting a process for each takes
    most of a second; :meth:`process` runs the installed program.
    """

    def __init__(self, config_file: Path) -> None:
        self.config_file = config_file

    def run(self, *arguments: object, program: str = "membuddies") -> Done:
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            _root_logger_kept(),
        ):
            try:
                status = PROGRAMS[program](self._argv(arguments))
            except SystemExit as end:
                status = int(end.code or 0)
        return Done(status, out.getvalue(), err.getvalue())

    def process(self, *arguments: object, program: str = "membuddies") -> Done:
        path = Path(sys.executable).with_name(program)
        done = subprocess.run(
            [path, *self._argv(arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments: object, program: str = "membuddies") -> Any:
        """What a command prints; it must succeed and say nothing else."""
        done = self.run(*arguments, "-f", "json", program=program)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    def failure(
        self, *arguments: object, status: int = 1, program: str = "membuddies"
    ) -> str:
        """The one line with which a command fails."""
        return one_line(self.run(*arguments, program=program), status)

    def _argv(self, arguments: tuple[object, ...]) -> list[str]:
        return ["--config-file", str(self.config_file), *map(str, arguments)]


def one_line(done: Done, status: int) -> str:
    """The line with which a command failed; it must have said nothing else."""
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    [line] = done.stderr.splitlines()
    return line


@contextlib.contextmanager
def _root_logger_kept() -> Iterator[None]:
    """Programs set up logging for their whole process, which here is pytest's."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def shell_of(directory: Path, url: str) -> Shell:
    config_file = directory / "membuddies.conf"
    config_file.write_text(f"[database]\nconnection = {url}\n")
    return Shell(config_file)


@pytest.fixture
def sqlite_url(tmp_path):
    return f"sqlite:///{tmp_path / 'cli.sqlite'}"


@pytest.fixture
def sqlite(sqlite_url):
    """An empty, migrated database."""
    database = Database(sqlite_url)
    schema.upgrade(database)
    yield database
    database.close()


@pytest.fixture
def shell(sqlite_url, tmp_path):
    """Its database is empty and not migrated, unless a test asks for ``sqlite``."""
    return shell_of(tmp_path, sqlite_url)


@pytest.fixture
def filled(sqlite):
    """The small cloud of known_cloud, ten seconds old."""
    known_cloud.fill(sqlite, time.time())
    return sqlite
