# SPDX-License-Identifier: Apache-2.0
"""The guests that all tests of the agents share."""

import time
from collections.abc import Iterator

import pytest

from tests.cloud.lab.buddies import Buddies
from tests.cloud.lab.cloud import Cloud
from tests.cloud.lab.guests import Guest, Guests
from tests.cloud.lab.images import GuestImage
from tests.cloud.records import Records

from .looks import FIRST, SECOND, THIRD, until_scanned


@pytest.fixture(scope="package")
def records(buddies: Buddies) -> Iterator[Records]:
    with Records.opened() as opened:
        yield opened


@pytest.fixture(scope="package")
def guests(cloud: Cloud) -> Guests:
    return cloud.guests("red")


@pytest.fixture(scope="package")
def guest_on(
    buddies: Buddies, guests: Guests, records: Records
) -> Iterator[dict[str, Guest]]:
    """A guest booted on each host, and its fingerprint stored; keys are hosts."""
    image = GuestImage("web")
    booted: dict[str, Guest] = {}
    try:
        for host in (FIRST, SECOND, THIRD):
            booted[host] = guests.start(f"on-{host}", image, host)
        guests.wait_until_ready(list(booted.values()))
        ready_at = time.time()
        for guest in booted.values():
            until_scanned(buddies, records, guest, since=ready_at)
        yield booted
    finally:
        guests.delete(list(booted.values()))
