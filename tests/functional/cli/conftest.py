# SPDX-License-Identifier: Apache-2.0
"""A database of the test's own, and the commands of an operator beside it."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from membuddies_nova.db import schema
from membuddies_nova.db.api import Database
from tests.functional.cli import known_cloud


class Shell:
    """Runs the installed commands with one configuration file."""

    def __init__(self, config_file: Path) -> None:
        self.config_file = config_file

    def run(
        self, *arguments: object, program: str = "membuddies"
    ) -> subprocess.CompletedProcess[str]:
        path = Path(sys.executable).with_name(program)
        return subprocess.run(
            [path, "--config-file", self.config_file, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def json(self, *arguments: object, program: str = "membuddies") -> Any:
        """What a command prints; it must succeed and say nothing else."""
        done = self.run(*arguments, "-f", "json", program=program)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    def failure(
        self, *arguments: object, status: int = 1, program: str = "membuddies"
    ) -> str:
        """The one line with which a command fails."""
        done = self.run(*arguments, program=program)
        assert (done.returncode, done.stdout) == (status, ""), done.stderr
        [line] = done.stderr.splitlines()
        return line


def shell_of(directory: Path, url: str) -> Shell:
    config_file = directory / "membuddies.conf"
    config_file.write_text(f"[database]\nconnection = {url}\n")
    return Shell(config_file)


@pytest.fixture
def sqlite(tmp_path):
    """An empty, migrated database."""
    database = Database(f"sqlite:///{tmp_path / 'cli.sqlite'}")
    schema.upgrade(database)
    yield database
    database.close()


@pytest.fixture
def shell(sqlite, tmp_path):
    return shell_of(tmp_path, f"sqlite:///{tmp_path / 'cli.sqlite'}")


@pytest.fixture
def filled(sqlite):
    """The small cloud of known_cloud, ten seconds old."""
    known_cloud.fill(sqlite, time.time())
    return sqlite
