# SPDX-License-Identifier: Apache-2.0
"""nova-scheduler with both of our filters: whom it keeps apart, whom it spares."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from . import recorded
from .decisions import SchedulerLog
from .lab.buddies import Buddies
from .lab.cloud import Cloud
from .lab.errors import LabError
from .lab.guests import Guest, Guests
from .lab.images import GuestImage
from .lab.layout import HOSTS

IMAGE = GuestImage("database")
FIRST, SECOND, THIRD = (place.service_host for place in HOSTS)

FILTERS = """
[filter_scheduler]
available_filters = nova.scheduler.filters.all_filters
available_filters = membuddies_nova.scheduler.isolation.KsmIsolationFilter
available_filters = membuddies_nova.scheduler.pressure.MemoryPressureFilter
enabled_filters = ComputeFilter,ServerGroupAntiAffinityFilter,KsmIsolationFilter,\
MemoryPressureFilter
[membuddies]
# This machine's one swap is no matter of these tests.
swap_in_limit_pages_per_second = 1e9
"""


@dataclass(frozen=True)
class Hosts:
    """What each host's agent reads of its kernel; see :mod:`recorded`."""

    ksm: Mapping[str, Callable[[int, int], None]]
    pressure: Mapping[str, Callable[[float], None]]


@pytest.fixture(scope="module")
def log(cloud: Cloud, buddies: Buddies) -> SchedulerLog:
    """The log of a nova-scheduler with two workers that has both filters."""
    path = cloud.service_log("nova-scheduler")
    cloud.stop_service("nova-scheduler")
    begin = path.stat().st_size
    buddies.configure_scheduler(workers=2, extra=FILTERS)
    return SchedulerLog(path, begin)


@pytest.fixture(scope="module")
def red(cloud: Cloud) -> Guests:
    return cloud.guests("red")


@pytest.fixture(scope="module")
def blue(cloud: Cloud) -> Guests:
    return cloud.guests("blue")


@pytest.fixture(scope="module")
def hosts(cloud: Cloud) -> Iterator[Hosts]:
    """Each host with a KSM that merges, and with no memory pressure."""
    with contextlib.ExitStack() as stack:
        yield Hosts(
            ksm={
                place.service_host: stack.enter_context(recorded.ksm(cloud, place.key))
                for place in HOSTS
            },
            pressure={
                place.service_host: stack.enter_context(
                    recorded.pressure(cloud, place.key)
                )
                for place in HOSTS
            },
        )


@pytest.fixture(scope="module", autouse=True)
def resident(
    cloud: Cloud, buddies: Buddies, hosts: Hosts, log: SchedulerLog, red: Guests
) -> Iterator[Guest]:
    """A guest of project red on the first host."""
    with contextlib.ExitStack() as stack:
        guest = red.start("resident", IMAGE, FIRST)
        stack.callback(red.delete, [guest])
        red.wait_until_active(guest)
        yield guest


def test_a_stranger_is_kept_off_a_host_that_merges(
    blue: Guests, log: SchedulerLog
) -> None:
    since = log.size
    assert _is_refused(blue, "intruder", FIRST)
    assert "Filter KsmIsolationFilter returned 0 hosts" in log.text_since(since)
    with _guest(blue, "stranger") as stranger:
        assert blue.host(stranger) != FIRST


def test_a_guest_of_the_same_project_is_not(buddies: Buddies, red: Guests) -> None:
    with _guest_when_it_may(buddies, red, "neighbour", FIRST):
        assert buddies.json("status")["mixed_hosts"] == []


def test_strangers_meet_where_ksm_is_kept_off(
    cloud: Cloud, buddies: Buddies, hosts: Hosts, red: Guests, blue: Guests
) -> None:
    with (
        _aggregate(cloud, THIRD, {"membuddies:ksm_free": "true"}),
        _guest_when_it_may(buddies, red, "one", THIRD),
    ):
        # Declared, but it merges.
        assert _is_refused(blue, "early", THIRD)
        hosts.ksm[THIRD](0, 0)
        with _guest_when_it_may(buddies, blue, "other", THIRD):
            assert buddies.json("status")["mixed_hosts"] == []
            hosts.ksm[THIRD](1, 100)
            buddies.wait(
                lambda: buddies.json("status")["mixed_hosts"],
                "a host that merges two tenants' pages is not named",
            )


def test_a_host_that_waits_for_memory_is_spared(
    buddies: Buddies, hosts: Hosts, red: Guests, log: SchedulerLog
) -> None:
    hosts.pressure[SECOND](60.0)
    since = log.size

    def is_refused() -> bool:
        return _is_refused(red, "burden", SECOND)

    buddies.wait(is_refused, "a host under pressure takes a guest")
    assert "Filter MemoryPressureFilter returned 0 hosts" in log.text_since(since)
    hosts.pressure[SECOND](0.0)
    with _guest_when_it_may(buddies, red, "welcome", SECOND):
        pass


def test_the_scheduler_met_no_error_of_ours(log: SchedulerLog) -> None:
    ours = [line for line in log.text.splitlines() if "membuddies_nova" in line]
    assert ours
    assert [line for line in ours if " ERROR " in line or 'File "' in line] == []
    assert [line for line in ours if "judged" in line or "cannot be" in line] == []


@contextlib.contextmanager
def _guest(guests: Guests, name: str, host: str | None = None) -> Iterator[Guest]:
    """A guest that is ACTIVE, and is deleted afterwards."""
    guest = guests.start(name, IMAGE, host)
    try:
        guests.wait_until_active(guest)
        yield guest
    finally:
        guests.delete([guest])


@contextlib.contextmanager
def _guest_when_it_may(
    buddies: Buddies, guests: Guests, name: str, host: str
) -> Iterator[Guest]:
    """A guest on a host, as soon as both workers have heard who is there."""

    def started() -> Guest | None:
        guest = guests.start(name, IMAGE, host)
        try:
            guests.wait_until_active(guest)
        except LabError:
            guests.delete([guest])
            return None
        return guest

    guest = buddies.wait(started, f"{host} does not take guest {name}")
    try:
        yield guest
    finally:
        guests.delete([guest])


def _is_refused(guests: Guests, name: str, host: str) -> bool:
    """Whether nova-scheduler finds that a host may not take a guest."""
    guest = guests.start(name, IMAGE, host)
    try:
        guests.wait_until_active(guest)
    except LabError as error:
        if "No valid host was found" not in str(error):
            raise
        return True
    finally:
        guests.delete([guest])
    return False


@contextlib.contextmanager
def _aggregate(cloud: Cloud, host: str, metadata: dict[str, str]) -> Iterator[None]:
    compute = cloud.connect().compute
    aggregate = compute.create_aggregate(name=f"of-{host}")
    compute.add_host_to_aggregate(aggregate, host)
    try:
        compute.set_aggregate_metadata(aggregate, metadata)
        yield
    finally:
        compute.remove_host_from_aggregate(aggregate, host)
        compute.delete_aggregate(aggregate)
