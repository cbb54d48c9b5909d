# SPDX-License-Identifier: Apache-2.0
"""What is told of a guest's memory, held against the kernel's own frames."""

import time

import pytest

from tests.cloud.lab.buddies import Buddies
from tests.cloud.lab.cloud import Cloud
from tests.cloud.lab.guests import Guest
from tests.cloud.records import Records

from .looks import listed, until_scanned


def test_every_guest_is_listed_with_what_its_memory_holds(
    buddies: Buddies, guest_on: dict[str, Guest]
) -> None:
    rows = listed(buddies)
    for host, guest in guest_on.items():
        row = rows[guest.id]
        assert (row["host"], row["status"]) == (host, "ACTIVE")
        assert row["reason"] is None
        assert row["memory_mb"] == 320
        # The files of its base and role, and what no other guest has.
        assert 60 < row["unique_mb"] < 250
        assert row["zero_pages"] > 0
        assert row["self_shared_pages"] > 0
        assert row["resident_pages"] == sum(
            row[f"{part}_pages"] for part in ("unique", "zero", "self_shared")
        )
        # It is alone on its host.
        assert row["inter_shared_pages"] == 0


def test_unique_pages_are_the_frames_that_the_kernel_keeps(
    cloud: Cloud, buddies: Buddies, records: Records, guest_on: dict[str, Guest]
) -> None:
    with cloud.ksm.merging() as ksm:
        ksm.wait_until_converged()
        counted = cloud.frames()
        converged_at = time.time()
    for guest in guest_on.values():
        until_scanned(buddies, records, guest, converged_at)
    rows = listed(buddies)
    for host, guest in guest_on.items():
        unique_pages = rows[guest.id]["unique_pages"]
        assert unique_pages == pytest.approx(counted[host].frames, rel=0.02)
