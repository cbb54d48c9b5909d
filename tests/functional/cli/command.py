# SPDX-License-Identifier: Apache-2.0
"""Runs an operator's commands, and reads what they leave behind.

Most by the entry point's function in this process, because to start one for each
takes most of a second; :func:`process` runs the installed program.
"""

import contextlib
import dataclasses
import io
import json
import logging
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from membuddies_nova.cli import app, manage, upgrade_check

MEMBUDDIES = pathlib.Path(sys.executable).with_name("membuddies")

_PROGRAMS = {
    "membuddies": app.main,
    "membuddies-manage": manage.main,
    "membuddies-status": upgrade_check.main,
}


@dataclasses.dataclass(frozen=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: object, program: str = "membuddies") -> Done:
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        _root_logger_kept(),
    ):
        try:
            status = _PROGRAMS[program](list(map(str, arguments)))
        except SystemExit as end:
            status = int(end.code or 0)
    return Done(status, out.getvalue(), err.getvalue())


def process(*arguments: object, program: str = "membuddies") -> Done:
    done = subprocess.run(
        [MEMBUDDIES.with_name(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def answer(*arguments: object, program: str = "membuddies") -> Any:
    """The JSON that a command prints; it must succeed and say nothing else."""
    done = run(*arguments, "-f", "json", program=program)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def refusal(*arguments: object) -> str:
    """The one line with which a wrong call is refused."""
    return one_line(run(*arguments), 2)


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
