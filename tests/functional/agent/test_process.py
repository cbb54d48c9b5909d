# SPDX-License-Identifier: Apache-2.0
"""``membuddies-agent`` as systemd would run it."""

import pathlib
import signal
import subprocess
import sys
import threading

import pytest

AGENT = [sys.executable, "-m", "membuddies_nova.cmd.agent"]


@pytest.fixture
def config_file(tmp_path, libvirt, transport_url):
    (tmp_path / "key").write_text("ab" * 32)
    (tmp_path / "key").chmod(0o600)
    file = tmp_path / "membuddies.conf"
    file.write_text(
        f"""\
[membuddies]
transport_url = {transport_url}
[agent]
host = compute-1
libvirt_uri = {libvirt.uri}
key_file = {tmp_path}/key
report_period_seconds = 1
"""
    )
    return file


def start(config_file: pathlib.Path) -> subprocess.Popen:
    return subprocess.Popen(
        [*AGENT, "--config-file", str(config_file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines_until(process: subprocess.Popen, words: str) -> list[str]:
    """The log's lines up to one with these words."""
    timer = threading.Timer(60, process.kill)
    timer.start()
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            timer.cancel()
            return lines
    raise AssertionError(f"no line with {words!r} in:\n{''.join(lines)}")


def test_the_agent_runs_reloads_and_ends_when_told(config_file):
    process = start(config_file)
    try:
        lines_until(process, "Connected to libvirt")
        # No controller is there, which ends nothing.
        lines_until(process, "The controller does not answer")
        process.send_signal(signal.SIGHUP)
        lines_until(process, "The configuration was read again")
        process.terminate()
        rest = "".join(process.communicate(timeout=60))
        assert process.returncode == 0, rest
        assert "Traceback" not in rest
    finally:
        process.kill()
        process.communicate()


def test_a_missing_key_ends_the_agent_with_one_line_that_says_what_to_do(config_file):
    (config_file.parent / "key").unlink()
    process = start(config_file)
    output = "".join(process.communicate(timeout=60))
    assert process.returncode == 1
    (message,) = [line for line in output.splitlines() if "membuddies-agent" in line]
    assert "openssl rand -hex 32" in message
    assert "Traceback" not in output
