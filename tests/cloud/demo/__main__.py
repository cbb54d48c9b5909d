# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.cloud.demo up|down``."""

import argparse
import json
import signal
import sys
from types import FrameType

from tests.cloud.lab.cloud import Cloud
from tests.cloud.lab.errors import LabError
from tests.cloud.lab.layout import PROJECT_ROOT, Layout

from . import LAB, REPORT, tables
from .memory import Watch
from .story import Story
from .teller import Teller

_INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Exit status: 0 as promised, 1 it failed or is not so, 130 interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.cloud.demo", description=__doc__
    )
    parser.add_argument("command", choices=("up", "down"))
    command = parser.parse_args().command
    cloud = Cloud(Layout(LAB))
    if command == "down":
        _shield_from_signals()
        cloud.down()
        print("the demo is down")
        return 0
    for number in _SIGNALS:
        # SIGINT, too: a shell has its background jobs ignore it.
        signal.signal(number, _interrupt)
    try:
        return _up(cloud)
    except LabError as error:
        print(f"\nerror: {error}", file=sys.stderr)
        if cloud.is_up:
            print("the cloud is left up; `make demo-down` ends it", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        _shield_from_signals()
        print("\ninterrupted: taking everything down", file=sys.stderr)
        cloud.down()
        print("everything was taken down", file=sys.stderr)
        return _INTERRUPTED


def _up(cloud: Cloud) -> int:
    teller = Teller()
    if cloud.is_up:
        teller.say("a demo is up already: taking it down first")
        cloud.down()
    with Watch() as memory:
        verdict = Story(cloud, teller).tell()
    teller.chapter("e. The verdict")
    teller.show(tables.verdict(verdict))
    report = verdict.report() | {"peak_memory_mb": round(memory.peak_mb)}
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    for complaint in verdict.complaints:
        teller.say(f"NOT AS PROMISED: {complaint}")
    if not verdict.complaints:
        teller.say("as promised")
    teller.say(f"the facts are in {REPORT.relative_to(PROJECT_ROOT)}")
    _invite(cloud)
    return 1 if verdict.complaints else 0


def _invite(cloud: Cloud) -> None:
    enter = cloud.enter_script.relative_to(PROJECT_ROOT)
    print("\nThe cloud stays up. Try:\n")
    for command in (
        "membuddies host list",
        "membuddies guest show web-1",
        "membuddies plan list",
        "membuddies status",
        "openstack server list --all-projects --long",
    ):
        print(f"    {enter} {command}")
    print("\n`make demo-down` ends it.")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _shield_from_signals() -> None:
    """Nothing may keep the cloud from being taken down wholly."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
