# SPDX-License-Identifier: Apache-2.0
"""Runs the installed `membuddies` as an operator would."""

import json
import pathlib
import subprocess
import sys
from typing import Any

MEMBUDDIES = pathlib.Path(sys.executable).with_name("membuddies")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MEMBUDDIES, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def answer(*arguments: object) -> Any:
    """The JSON that a command prints; it must succeed and say nothing else."""
    done = run(*arguments, "-f", "json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def refusal(*arguments: object) -> str:
    """The one line with which a wrong call is refused."""
    done = run(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]
