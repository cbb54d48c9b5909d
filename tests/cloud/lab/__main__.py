# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.cloud.lab up|down|status [--name NAME]``."""

import argparse
import signal
import sys
import time
from types import FrameType

from .cloud import Cloud
from .errors import LabError
from .layout import Layout


def main() -> int:
    """Exit status: 0 done (or up), 1 it failed (or is not up), 130 interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.cloud.lab", description=__doc__
    )
    parser.add_argument("command", choices=("up", "down", "status"))
    parser.add_argument("--name", default=Layout.name, help="of the lab (%(default)s)")
    arguments = parser.parse_args()
    cloud = Cloud(Layout(arguments.name))
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return {"up": _up, "down": _down, "status": _status}[arguments.command](cloud)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        after = "everything was" if arguments.command == "up" else "not everything is"
        print(f"interrupted; {after} taken down", file=sys.stderr)
        return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _tell(line: str) -> None:
    print(line, flush=True)


def _up(cloud: Cloud) -> int:
    begun = time.monotonic()
    cloud.up(_tell)
    _tell(f"the cloud is up after {time.monotonic() - begun:.0f} s; try")
    _tell(f"    {cloud.enter_script} openstack hypervisor list")
    return 0


def _down(cloud: Cloud) -> int:
    begun = time.monotonic()
    cloud.down()
    _tell(f"the cloud is down after {time.monotonic() - begun:.0f} s")
    return 0


def _status(cloud: Cloud) -> int:
    if not cloud.is_up:
        _tell("the cloud is not up")
        return 1
    services = cloud.services()
    for name, alive in services.items():
        _tell(f"{'runs ' if alive else 'ENDED'}  {name}  {cloud.service_log(name)}")
    return 0 if all(services.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
