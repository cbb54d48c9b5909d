# SPDX-License-Identifier: Apache-2.0
"""A database of the test's own, and the commands of an operator beside it."""

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from membuddies_nova.db import schema
from membuddies_nova.db.api import Database
from tests.functional.cli import command, known_cloud


@pytest.fixture(autouse=True)
def _no_voice_of_other_tests_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep threads that still look for the broker of a test before off stderr.

    The commands run in this process and none of them speaks to a broker.
    """
    monkeypatch.setattr(logging.getLogger("oslo.messaging"), "propagate", False)


class Shell:
    """Runs commands with one configuration file."""

    def __init__(self, config_file: Path) -> None:
        self.config_file = config_file

    def run(self, *arguments: object, program: str = "membuddies") -> command.Done:
        return command.run(*self._argv(arguments), program=program)

    def process(self, *arguments: object, program: str = "membuddies") -> command.Done:
        return command.process(*self._argv(arguments), program=program)

    def json(self, *arguments: object, program: str = "membuddies") -> Any:
        """What a command prints; it must succeed and say nothing else."""
        return command.answer(*self._argv(arguments), program=program)

    def failure(
        self, *arguments: object, status: int = 1, program: str = "membuddies"
    ) -> str:
        """The one line with which a command fails."""
        return command.one_line(self.run(*arguments, program=program), status)

    def _argv(self, arguments: tuple[object, ...]) -> tuple[object, ...]:
        return ("--config-file", self.config_file, *arguments)


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
