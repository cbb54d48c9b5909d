# SPDX-License-Identifier: Apache-2.0
"""The stage that all tests of the scheduler share."""

import contextlib
import time
from collections.abc import Iterator

import pytest

from tests.cloud import recorded
from tests.cloud.decisions import SchedulerLog
from tests.cloud.lab.buddies import Buddies
from tests.cloud.lab.cloud import Cloud
from tests.cloud.lab.layout import HOSTS
from tests.cloud.records import Records

from .stage import BLUE_HOST, IMAGE, KIN_HOST, LIMIT, WORKERS, Stage


@pytest.fixture(scope="package")
def stage(cloud: Cloud, buddies: Buddies) -> Iterator[Stage]:
    """The stage with its guests, which both workers know by their fingerprints."""
    red, blue = cloud.guests("red"), cloud.guests("blue")
    path = cloud.service_log("nova-scheduler")
    with contextlib.ExitStack() as stack:
        ksm = {
            place.service_host: stack.enter_context(recorded.ksm(cloud, place.key))
            for place in HOSTS
        }
        kin, mover = (red.start(name, IMAGE, KIN_HOST) for name in ("kin", "mover"))
        stack.callback(red.delete, [kin, mover])
        blue_kin = blue.start("kin", IMAGE, BLUE_HOST)
        stack.callback(blue.delete, [blue_kin])
        for guests, guest in ((red, kin), (red, mover), (blue, blue_kin)):
            guests.wait_until_active(guest)
        # While they boot.
        cloud.stop_service("nova-scheduler")
        begin = path.stat().st_size
        buddies.configure_scheduler(WORKERS, extra=LIMIT)
        log = SchedulerLog(path, begin)
        stage = Stage(cloud, buddies, log, red, blue, kin, mover, blue_kin, ksm)
        red.wait_until_ready([kin, mover])
        blue.wait_until_ready([blue_kin])
        ready_at = time.time()
        with Records.opened() as records:
            # A scan that saw them boot does not count.
            buddies.wait(
                lambda: all(
                    records.is_scanned(guest, since=ready_at)
                    for guest in (kin, mover, blue_kin)
                ),
                "not all guests have a fingerprint since they booted",
            )
        stage.until_all_know(
            lambda board: all(
                (line := board.guest(guest.id)) is not None and line.row is not None
                for guest in (kin, mover, blue_kin)
            ),
            "the controller does not know the kin",
        )
        yield stage
