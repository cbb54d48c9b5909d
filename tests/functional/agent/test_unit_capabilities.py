# SPDX-License-Identifier: Apache-2.0
"""The capabilities of the agent's systemd unit, against the kernel."""

import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.functional.agent import processes

UNIT = pathlib.Path(__file__).parents[3] / "etc/systemd/membuddies-agent.service"
NOBODY = 65534


def capabilities() -> list[str]:
    """The unit's, as setpriv spells them."""
    for line in UNIT.read_text().splitlines():
        if line.startswith("AmbientCapabilities="):
            names = line.partition("=")[2].split()
            return [name.removeprefix("CAP_").lower() for name in names]
    raise AssertionError("the unit names no capabilities")


@pytest.fixture(scope="module")
def guest() -> Iterator[processes.Child]:
    """A process of another user."""
    with processes.child(500, write=[[0, 300, 1]], touch=[[300, 10]]) as child:
        yield child


def fingerprint(
    guest: processes.Child, held: list[str]
) -> subprocess.CompletedProcess[str]:
    """Fingerprint a process as nobody, with some capabilities and no others."""
    ambient = ",".join(f"+{name}" for name in held)
    return subprocess.run(
        [
            "setpriv",
            *(f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
            *(f"--inh-caps=-all,{ambient}", f"--ambient-caps={ambient}"),
            *(f"--bounding-set=-all,{ambient}", "--no-new-privs"),
            str(pathlib.Path(sys.executable).with_name("membuddies")),
            *("fingerprint", "--pid", str(guest.process.pid), "-f", "json"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def test_they_are_enough_to_fingerprint_another_user_s_process(
    guest: processes.Child,
) -> None:
    done = fingerprint(guest, capabilities())
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["unique_pages"], found["zero_pages"]) == (300, 10)


def test_without_the_right_to_open_files_the_error_names_it(
    guest: processes.Child,
) -> None:
    held = [name for name in capabilities() if name != "dac_read_search"]
    done = fingerprint(guest, held)
    assert done.returncode == 1
    # Others may read smaps, pagemap only its owner.
    assert f"/proc/{guest.process.pid}/pagemap cannot be read" in done.stderr
    assert "the agent lacks CAP_DAC_READ_SEARCH;" in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_the_right_to_trace_the_error_names_it(guest: processes.Child) -> None:
    held = [name for name in capabilities() if name != "sys_ptrace"]
    done = fingerprint(guest, held)
    assert done.returncode == 1
    assert "the agent lacks CAP_SYS_PTRACE" in done.stderr
