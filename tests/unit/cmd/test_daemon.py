# SPDX-License-Identifier: Apache-2.0
"""A service as a process: how it starts, reloads and ends, whatever it does."""

import signal
import subprocess
import sys
import textwrap

import pytest

SERVICE = """
import signal, sys, threading, time
from membuddies_nova import exceptions
from membuddies_nova.cmd import daemon

class Service:
    def start(self):
        print("started", flush=True)
    def stop(self):
        print("stopped", flush=True)
    def wait(self):
        {wait}
    def reset(self):
        {reset}

def build(conf):
    {build}
    return Service()

sys.exit(daemon.run("membuddies-test", build, sys.argv[1:]))
"""


@pytest.fixture
def start(tmp_path):
    """Start a service with some of its methods written out."""
    processes = []

    def run(*arguments, wait="pass", reset="print('reset', flush=True)", build="pass"):
        conf = tmp_path / "membuddies.conf"
        conf.write_text("[DEFAULT]\ngraceful_shutdown_timeout = 1\nuse_stderr = true\n")
        program = textwrap.dedent(SERVICE).format(wait=wait, reset=reset, build=build)
        processes.append(
            subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", program]
                + (list(arguments) or ["--config-file", str(conf)]),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_and_waits_at_a_signal(start, number):
    process = start(wait="print('waited', flush=True)")
    assert process.stdout.readline() == "started\n"
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert output.split() == ["stopped", "waited"]
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_a_signal_that_the_kernel_gives_to_another_thread_is_heard(start):
    process = start(
        build="thread = threading.Thread(target=time.sleep, args=(600,), daemon=True)"
        "; thread.start()"
        "; threading.Timer(1.0, signal.pthread_kill, (thread.ident, 15)).start()"
    )
    output, errors = process.communicate(timeout=60)
    assert output.split() == ["started", "stopped"]
    assert process.returncode == 0, errors


def test_sighup_resets_and_it_goes_on(start):
    process = start()
    assert process.stdout.readline() == "started\n"
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == "reset\n"
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_reset_that_fails_does_not_end_it(start):
    process = start(
        reset="print('reset', flush=True);"
        " raise exceptions.ConfigurationError('a wrong window')"
    )
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGHUP)
    assert process.stdout.readline() == "reset\n"
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert "not read again: a wrong window" in errors
    assert process.returncode == 0


def test_a_service_that_hangs_is_ended_all_the_same(start):
    process = start(wait="time.sleep(600)")
    assert process.stdout.readline() == "started\n"
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "giving up" in errors


def test_a_thread_that_hangs_does_not_hold_up_the_end(start):
    process = start(build="threading.Thread(target=time.sleep, args=(600,)).start()")
    assert process.stdout.readline() == "started\n"
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 1


def test_a_configuration_that_cannot_be_used_is_one_line(start):
    process = start(build="raise exceptions.ConfigurationError('no key: make one')")
    output, errors = process.communicate(timeout=60)
    assert (output, errors) == ("", "membuddies-test: no key: make one\n")
    assert process.returncode == 1


def test_it_tells_its_version(start):
    process = start("--version")
    output, _ = process.communicate(timeout=60)
    assert output.strip()
    assert process.returncode == 0
