# SPDX-License-Identifier: Apache-2.0
"""Real controllers for benchmarks, each in a process of its own."""

import contextlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

from tests.benchmarks.guests import SECRET
from tests.functional.services import free_port

PROGRAM = pathlib.Path(sys.executable).with_name("membuddies-controller")


@contextlib.contextmanager
def controller(
    folder: pathlib.Path, transport_url: str, database_url: str, name: str = "one"
) -> Iterator[int]:
    """A membuddies-controller's pid; its Nova is away, so the inventory stays."""
    conf = folder / f"{name}.conf"
    key_file = folder / f"{name}.key"
    key_file.touch(mode=0o600)
    key_file.write_text(SECRET.hex())
    conf.write_text(
        f"[membuddies]\ntransport_url = {transport_url}\n"
        f"[database]\nconnection = {database_url}\n"
        f"[controller]\nhost = {name}\nkey_file = {key_file}\n"
        f"[inventory]\nauth_type = none\nperiod_seconds = 3600\n"
        f"endpoint = http://127.0.0.1:{free_port()}/\n"
    )
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, "--config-file", conf],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()
