# SPDX-License-Identifier: Apache-2.0
"""nova-scheduler with our weigher: where Nova places guests, whatever is away."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import amqp  # type: ignore[import-untyped]
import pytest

from .decisions import Decision, SchedulerLog
from .lab.buddies import REFRESH_SECONDS, Buddies
from .lab.cloud import Cloud
from .lab.guests import Guest, Guests
from .lab.images import GuestImage
from .lab.layout import HOSTS, transport_url
from .records import Records

WORKERS = 2
AGE_LIMIT_SECONDS = 10
# What an agent waits for an answer, by default. Nobody who places guests may.
RPC_TIMEOUT_SECONDS = 30

IMAGE = GuestImage("database")
KIN_HOST = HOSTS[2].service_host


@pytest.fixture(scope="module")
def log(cloud: Cloud, buddies: Buddies) -> Iterator[SchedulerLog]:
    """The log of a nova-scheduler with two workers, on hosts whose KSM merges."""
    path = cloud.service_log("nova-scheduler")
    limit = f"\n[membuddies]\nboard_age_limit_seconds = {AGE_LIMIT_SECONDS}\n"
    with cloud.ksm.merging(sleep_millisecs=200):
        cloud.stop_service("nova-scheduler")
        begin = path.stat().st_size
        buddies.configure_scheduler(workers=WORKERS, extra=limit)
        try:
            yield SchedulerLog(path, begin)
        finally:
            buddies.configure_scheduler()


@pytest.fixture(scope="module")
def red(cloud: Cloud) -> Guests:
    return cloud.guests("red")


@pytest.fixture(scope="module")
def kin(
    cloud: Cloud, buddies: Buddies, red: Guests, log: SchedulerLog
) -> Iterator[Guest]:
    """A guest with a fingerprint, which both workers have heard of."""
    # The agent shall not see it boot: its first fingerprint is of a whole memory.
    cloud.stop_service("membuddies-agent-c3")
    guest = red.start("kin", IMAGE, KIN_HOST)
    try:
        try:
            red.wait_until_ready([guest])
        finally:
            buddies.start_agent("c3")
        _until_all_have_a_board(buddies, log, since=log.begin)
        yield guest
    finally:
        red.delete([guest])


def test_a_guest_is_placed_beside_its_kin_by_either_worker(
    red: Guests, log: SchedulerLog, kin: Guest
) -> None:
    seen: set[int] = set()
    with _placing(red, log) as place:
        for number in range(6):
            host, decision = place(f"beside-{number}")
            assert host == KIN_HOST
            _assert_drawn_to_kin(decision)
            seen.add(decision.worker)
            if len(seen) == WORKERS:
                break
    assert len(seen) == WORKERS


def test_a_worker_that_takes_a_dead_ones_place_has_a_board(
    cloud: Cloud, buddies: Buddies, red: Guests, log: SchedulerLog, kin: Guest
) -> None:
    before = log.boards(log.begin).keys()
    _master, *workers = cloud.service_processes("nova-scheduler")
    assert len(workers) == WORKERS
    os.kill(workers[0], signal.SIGKILL)

    def newcomers() -> set[int]:
        boards = log.boards(log.begin)
        return {worker for worker in boards.keys() - before if boards[worker]}

    (newcomer,) = buddies.wait(newcomers, "no new worker has a board")
    assert len(cloud.service_processes("nova-scheduler")) == 1 + WORKERS
    with _placing(red, log) as place:
        for number in range(6):
            host, decision = place(f"after-{number}")
            assert host == KIN_HOST
            _assert_drawn_to_kin(decision)
            if decision.worker == newcomer:
                return
    pytest.fail("the new worker got no request")


def test_an_aggregates_multiplier_of_0_switches_the_weigher_off_at_once(
    cloud: Cloud, red: Guests, log: SchedulerLog, kin: Guest
) -> None:
    compute = cloud.connect().compute
    aggregate = compute.create_aggregate(name="no-buddies")
    compute.add_host_to_aggregate(aggregate, KIN_HOST)
    try:
        compute.set_aggregate_metadata(aggregate, {"sharing_weight_multiplier": "0"})
        with _placing(red, log) as place:
            host, decision = place("unweighed")
        _assert_drawn_to_kin(decision)
        assert host != KIN_HOST
    finally:
        compute.remove_host_from_aggregate(aggregate, KIN_HOST)
        compute.delete_aggregate(aggregate)


def test_another_projects_guest_is_not_drawn_to_the_kin(
    cloud: Cloud, log: SchedulerLog, kin: Guest
) -> None:
    with _placing(cloud.guests("blue"), log) as place:
        host, decision = place("stranger")
    assert host != KIN_HOST
    assert set(decision.weights.values()) == {0.0}


def test_all_find_each_other_again_after_the_broker_was_restarted(
    cloud: Cloud, buddies: Buddies, red: Guests, log: SchedulerLog, kin: Guest
) -> None:
    cloud.restart_service("rabbitmq")
    restarted_at = time.time()
    restarted = log.size
    with Records.opened() as records:
        for host in cloud.hosts:
            buddies.wait(
                lambda host=host: records.report(host).received_at > restarted_at,  # type: ignore[misc]
                f"the agent of {host} does not report again",
            )
    with _placing(red, log) as place:
        # A board that has not changed is not sent: this guest changes it.
        place("after-the-broker")
        _until_all_have_a_board(buddies, log, since=restarted)
        cloud.wait_until_hosts_report(since=restarted_at)


def test_guests_are_placed_without_delay_while_no_controller_is_there(
    cloud: Cloud, buddies: Buddies, red: Guests, log: SchedulerLog, kin: Guest
) -> None:
    cloud.stop_service("membuddies-controller-ctl")
    stopped_at = time.time()
    with _placing(red, log) as place:
        try:
            _until(buddies, stopped_at + AGE_LIMIT_SECONDS)
            host, decision = place("unadvised")
            assert set(decision.weights.values()) == {0.0}
            assert host != KIN_HOST
            assert decision.seconds < RPC_TIMEOUT_SECONDS / 2

            _until(buddies, stopped_at + 10 * REFRESH_SECONDS)
            # Of each agent and each worker at most one question waits.
            assert _waiting_questions() <= len(cloud.hosts) + WORKERS
        finally:
            since = log.size
            buddies.start_controller()
        # A board that has not changed is not sent: the guest changes it.
        _until_all_have_a_board(buddies, log, since)


def test_the_scheduler_met_no_error_of_ours(log: SchedulerLog, kin: Guest) -> None:
    ours = [line for line in log.text.splitlines() if "membuddies_nova" in line]
    assert ours
    assert [line for line in ours if " ERROR " in line or 'File "' in line] == []
    assert [line for line in ours if "unexpectedly" in line] == []
    assert [line for line in ours if "not scored" in line] == []


@contextlib.contextmanager
def _placing(
    guests: Guests, log: SchedulerLog
) -> Iterator[Callable[[str], tuple[str, Decision]]]:
    """Books guests without naming a host, and deletes them at the end.

    The yielded function returns where Nova placed the guest, and why.
    """
    placed: list[Guest] = []

    def place(name: str) -> tuple[str, Decision]:
        guest = guests.start(name, IMAGE)
        placed.append(guest)
        guests.wait_until_active(guest)
        return guests.host(guest), log.decision(guest)

    try:
        yield place
    finally:
        guests.delete(placed)


def _assert_drawn_to_kin(decision: Decision) -> None:
    """The kin's files are at least a tenth of the memory that was asked for."""
    others = {weight for host, weight in decision.weights.items() if host != KIN_HOST}
    assert 0.1 < decision.weights[KIN_HOST] <= 1.0
    assert others == {0.0}


def _until_all_have_a_board(buddies: Buddies, log: SchedulerLog, since: int) -> None:
    """Waits until each worker has got a board that knows the kin."""

    def all_have_one() -> bool:
        boards = log.boards(since)
        return len(boards) == WORKERS and all(boards.values())

    buddies.wait(all_have_one, "not every worker has a board")


def _until(buddies: Buddies, moment: float) -> None:
    """Waits for what is only a matter of time."""
    buddies.wait(lambda: time.time() > moment, "time does not pass")


def _waiting_questions() -> int:
    """How many messages lie in the controllers' queue, 0 if there is none."""
    url = urlsplit(transport_url("membuddies", "membuddies"))
    with amqp.Connection(
        f"{url.hostname}:{url.port}",
        url.username,
        url.password,
        virtual_host=url.path.removeprefix("/"),
    ) as broker:
        try:
            queue = broker.channel().queue_declare("membuddies", passive=True)
        except amqp.NotFound:
            return 0
        return int(queue.message_count)
