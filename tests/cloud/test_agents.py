# SPDX-License-Identifier: Apache-2.0
"""Agents on real guests: what arrives of them, whatever Nova does with them."""

import contextlib
import json
import secrets
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from openstack.exceptions import BadRequestException
from oslo_config import cfg

from membuddies_nova.bus.client import AgentClient
from membuddies_nova.bus.messages import Outcome, StoreRequest
from membuddies_nova.conf import bus
from membuddies_nova.facts import Number, Reason
from membuddies_nova.fingerprint import codec
from membuddies_nova.fingerprint.seal import KeyRing, SealKey

from .lab.buddies import Buddies
from .lab.cloud import Cloud
from .lab.guests import Guest, Guests
from .lab.images import GuestImage
from .lab.layout import HOSTS, transport_url
from .records import Records

# Two of an agent's heartbeats may be late on a busy machine before it counts.
_MAX_AGE_SECONDS = 15

FIRST, SECOND, THIRD = (host.service_host for host in HOSTS)


@pytest.fixture(scope="module")
def records(buddies: Buddies) -> Iterator[Records]:
    with Records.opened() as opened:
        yield opened


@pytest.fixture(scope="module")
def guests(cloud: Cloud) -> Guests:
    return cloud.guests("red")


@pytest.fixture(scope="module")
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
        for guest in booted.values():
            _until_scanned(buddies, records, guest, since=time.time())
        yield booted
    finally:
        guests.delete(list(booted.values()))


def _until_scanned(
    buddies: Buddies, records: Records, guest: Guest, since: float
) -> None:
    def scanned() -> bool:
        found = records.fingerprint(guest)
        return found is not None and found.scanned_at > since

    buddies.wait(scanned, f"no new fingerprint of {guest.name} is stored")


def _list(buddies: Buddies) -> dict[str, dict[str, Any]]:
    """What ``membuddies guest list`` says of each guest; keys are uuids."""
    return {row["uuid"]: row for row in buddies.json("guest", "list", "--long")}


def test_every_guest_is_listed_with_what_its_memory_holds(
    buddies: Buddies, guest_on: dict[str, Guest]
) -> None:
    rows = _list(buddies)
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
        _until_scanned(buddies, records, guest, converged_at)
    rows = _list(buddies)
    for host, guest in guest_on.items():
        unique_pages = rows[guest.id]["unique_pages"]
        assert unique_pages == pytest.approx(counted[host].frames, rel=0.02)


def test_a_paused_guest_keeps_its_numbers_and_is_not_scanned(
    cloud: Cloud, buddies: Buddies, records: Records, guest_on: dict[str, Guest]
) -> None:
    guest = guest_on[FIRST]
    compute = cloud.connect("red").compute
    compute.pause_server(guest.id)
    try:
        buddies.wait(
            lambda: records.status(guest) == "PAUSED",
            "the inventory does not see the guest paused",
        )
        kept = records.fingerprint(guest)
        assert kept is not None
        # Its agent starts again, and so has nothing to send.
        cloud.restart_service("membuddies-agent-c1")
        buddies.wait(
            lambda: _reason(records, FIRST, guest) is Reason.PAUSED,
            "the new agent does not say that the guest is paused",
        )
        assert records.fingerprint(guest) == kept
        row = _list(buddies)[guest.id]
        assert (row["status"], row["reason"]) == ("PAUSED", None)
        assert row["unique_pages"] > 0
    finally:
        compute.unpause_server(guest.id)
    buddies.wait(
        lambda: records.fingerprint(guest) != kept, "the guest is not scanned again"
    )


def test_the_key_is_changed_while_everything_runs(
    cloud: Cloud, buddies: Buddies, records: Records, guest_on: dict[str, Guest]
) -> None:
    old = buddies.key_file("ctl").read_text().strip()
    new = secrets.token_hex(32)
    old_id, new_id = (SealKey(bytes.fromhex(key)).key_id.hex() for key in (old, new))
    log = cloud.service_log("membuddies-controller-ctl")

    def plan() -> dict[str, Any]:
        found: dict[str, Any] = buddies.json("plan")
        return found

    def is_mixed() -> bool:
        return "fingerprints differ in key" in plan()["why"]

    def give_controller(*keys: str) -> None:
        before = len(log.read_text())
        buddies.give_key("ctl", *keys)
        cloud.kill_service("membuddies-controller-ctl", signal.SIGHUP)
        buddies.wait(
            lambda: "are believed under key" in log.read_text()[before:],
            "the controller does not read its key file again",
        )

    assert not is_mixed()
    give_controller(new, old)
    assert not is_mixed()

    # One compute node changes over: nothing moves, and the reason names it.
    buddies.give_key("c1", new, old)
    buddies.wait(is_mixed, "the planner does not see two keys")
    mixed = plan()
    assert (mixed["verdict"], mixed["moves"]) == ("stay", [])
    assert f"{new_id}: 1 guest on {FIRST}" in mixed["why"]
    keys = buddies.json("status")["keys"]
    assert keys == {new_id: [FIRST], old_id: sorted([SECOND, THIRD])}

    # With the last one everything is as before, and no guest was scanned for it.
    for where in ("c2", "c3"):
        buddies.give_key(where, new, old)
    buddies.wait(lambda: not is_mixed(), "the planner still sees two keys")
    for guest in guest_on.values():
        assert codec.decode(records.body(guest)).key_id.hex() == new_id
    for where in ("c1", "c2", "c3"):
        buddies.give_key(where, new)
    give_controller(new)
    since = time.time()
    for guest in guest_on.values():
        _until_scanned(buddies, records, guest, since)
    status = buddies.json("status")
    assert status["keys"] == {new_id: sorted([FIRST, SECOND, THIRD])}
    dropped = status["dropped_messages"]
    assert (dropped["forged"], dropped["unknown-key"]) == (0, 0)


def test_status_fails_while_an_agent_is_away(
    cloud: Cloud, buddies: Buddies, guest_on: dict[str, Guest]
) -> None:
    def status() -> tuple[int, list[str]]:
        command = ("status", "--max-age", str(_MAX_AGE_SECONDS), "-f", "json")
        done = buddies.run(*command, check=False)
        return done.returncode, json.loads(done.stdout)["stale_hosts"]

    buddies.wait(lambda: status() == (0, []), "not everything is fresh")
    cloud.stop_service("membuddies-agent-c3")
    try:
        buddies.wait(lambda: status() == (1, [THIRD]), "the agent is not missed")
    finally:
        buddies.start_agent("c3")
    buddies.wait(lambda: status() == (0, []), "the agent does not come back")


def test_a_guest_whose_resize_waits_for_confirmation_counts_where_it_runs(
    cloud: Cloud, buddies: Buddies, records: Records, guest_on: dict[str, Guest]
) -> None:
    guest = guest_on[THIRD]
    compute = cloud.connect().compute
    # A cold migration is a resize to the flavor that the guest has.
    compute.migrate_server(guest.id, host=FIRST)
    buddies.wait(
        lambda: _is_at(compute, guest, FIRST, "VERIFY_RESIZE"), "it is not resized"
    )
    buddies.wait(
        lambda: (found := records.fingerprint(guest)) and found.host == FIRST,
        "no fingerprint comes from the new host",
    )
    # The source keeps it, to go back to.
    buddies.wait(
        lambda: _reason(records, THIRD, guest) is Reason.SHUT_OFF,
        "the source's agent does not see it shut off",
    )
    row = _list(buddies)[guest.id]
    assert (row["host"], row["status"], row["reason"]) == (
        FIRST,
        "VERIFY_RESIZE",
        None,
    )

    compute.revert_server_resize(guest.id)
    buddies.wait(
        lambda: _is_at(compute, guest, THIRD, "ACTIVE"), "the resize is not reverted"
    )
    buddies.wait(
        lambda: (found := records.fingerprint(guest)) and found.host == THIRD,
        "no fingerprint comes from the old host",
    )
    buddies.wait(
        lambda: records.line(FIRST, guest) is None,
        "the agent of the host that it left still reports the guest",
    )


def test_a_guest_on_its_way_counts_where_nova_sees_it(
    cloud: Cloud,
    buddies: Buddies,
    records: Records,
    guest_on: dict[str, Guest],
) -> None:
    guest = guest_on[SECOND]
    compute = cloud.connect().compute
    with _crawling(cloud, guest):
        compute.live_migrate_server(guest.id, host=THIRD, block_migration="auto")
        buddies.wait(
            lambda: _reason(records, THIRD, guest) is Reason.INCOMING,
            "the destination's agent does not see the guest arrive",
        )
        at_source = records.fingerprint(guest)
        assert at_source is not None
        assert at_source.host == SECOND
        assert records.holders(guest) == set()
        body = records.body(guest)
        assert compute.get_server(guest.id).task_state == "migrating"
    buddies.wait(
        lambda: (found := records.fingerprint(guest)) and found.host == THIRD,
        "no fingerprint comes from the new host",
    )
    assert _list(buddies)[guest.id]["host"] == THIRD
    buddies.wait(
        lambda: records.line(SECOND, guest) is None,
        "the source's agent still reports the guest",
    )

    # Now comes, late, what the source had scanned last.
    late = StoreRequest(
        host=SECOND,
        guest=guest.id,
        number=Number(at_source.number.started, at_source.number.counter + 1),
        digest=at_source.digest,
        scanned_at=time.time(),
        body=body,
    )
    with contextlib.closing(_client(buddies)) as client:
        assert client.store(late).outcome is Outcome.HELD
    buddies.wait(
        lambda: records.holders(guest) == set(), "the source's is held for ever"
    )
    stored = records.fingerprint(guest)
    assert stored is not None
    assert stored.host == THIRD


def test_of_an_evacuated_guests_two_memories_that_on_novas_host_counts(
    cloud: Cloud,
    buddies: Buddies,
    records: Records,
    guest_on: dict[str, Guest],
) -> None:
    guest = guest_on[FIRST]
    compute = cloud.connect().compute
    service = next(iter(compute.services(binary="nova-compute", host=FIRST)))

    def force_up() -> bool:
        """Nova refuses it until the source has destroyed what was evacuated."""
        try:
            compute.update_service_forced_down(
                service, FIRST, "nova-compute", forced=False
            )
        except BadRequestException:
            return False
        return True

    # To Nova the host is dead; libvirt, the guest and the agent live on.
    cloud.kill_service("nova-compute-c1")
    compute.update_service_forced_down(service, FIRST, "nova-compute", forced=True)
    try:
        compute.evacuate_server(guest.id, host=SECOND)
        # Since Nova 2023.1 an evacuated guest arrives stopped.
        buddies.wait(
            lambda: _is_at(compute, guest, SECOND, "SHUTOFF"), "it is not evacuated"
        )
        compute.start_server(guest.id)
        buddies.wait(
            lambda: (found := records.fingerprint(guest)) and found.host == SECOND,
            "no fingerprint comes from the new host",
        )
        assert guest.id in cloud.guest_pids(FIRST)
        assert guest.id in cloud.guest_pids(SECOND)
        assert buddies.json("status")["down_hosts"] == [FIRST]

        # The agent of the dead host scans and reports the guest as before.
        line = records.line(FIRST, guest)
        assert line is not None
        assert line.counter is not None
        counter = line.counter

        def scanned_again() -> bool:
            now = records.line(FIRST, guest)
            return now is not None and (now.counter or 0) > counter

        buddies.wait(scanned_again, "the source's agent scans the guest no more")
        stored = records.fingerprint(guest)
        assert stored is not None
        assert stored.host == SECOND
        assert records.holders(guest) == set()
        assert _list(buddies)[guest.id]["host"] == SECOND
    finally:
        cloud.restart_service("nova-compute-c1")
        buddies.wait(force_up, "Nova does not let the source count as up")
    assert guest.id not in cloud.guest_pids(FIRST)
    buddies.wait(
        lambda: records.line(FIRST, guest) is None,
        "the source's agent still reports the guest",
    )
    stored = records.fingerprint(guest)
    assert stored is not None
    assert stored.host == SECOND
    buddies.wait(
        lambda: buddies.json("status")["down_hosts"] == [], "the host stays down"
    )


def test_what_agents_keep_is_stored_when_the_database_is_back(
    cloud: Cloud, buddies: Buddies, records: Records, guest_on: dict[str, Guest]
) -> None:
    guest = guest_on[THIRD]
    controller_log = cloud.service_log("membuddies-controller-ctl")
    before = len(controller_log.read_text())
    compute = cloud.connect("red").compute
    compute.pause_server(guest.id)
    buddies.wait(
        lambda: compute.get_server(guest.id).status == "PAUSED", "it does not pause"
    )
    cloud.kill_service("mariadb", signal.SIGTERM)
    try:
        stopped_at = time.time()
        buddies.wait(
            lambda: "No report answered" in controller_log.read_text()[before:],
            "no agent met a controller without its database",
        )
    finally:
        cloud.restart_service("mariadb")

    # The guest is not scanned while it is paused: only what the agent has kept can
    # be sent again, and only because a report is answered with its name.
    records.forget(guest)
    stored = buddies.wait(
        lambda: records.fingerprint(guest), "the fingerprint is not sent again"
    )
    assert stored.scanned_at < stopped_at
    compute.unpause_server(guest.id)
    _until_scanned(buddies, records, guest, since=stopped_at)
    cloud.wait_until_hosts_report(since=stopped_at)


def test_a_guest_that_is_shut_off_has_no_memory_to_share(
    cloud: Cloud, buddies: Buddies, records: Records, guest_on: dict[str, Guest]
) -> None:
    guest = guest_on[THIRD]
    cloud.connect("red").compute.stop_server(guest.id)
    buddies.wait(
        lambda: (
            _reason(records, THIRD, guest) is Reason.SHUT_OFF
            and records.status(guest) == "SHUTOFF"
        ),
        "the guest is not seen shut off",
    )
    row = _list(buddies)[guest.id]
    assert row["reason"] == Reason.SHUT_OFF.sentence
    assert row["unique_pages"] is None


@contextlib.contextmanager
def _crawling(cloud: Cloud, guest: Guest) -> Iterator[None]:
    """Lets the guest's live migration from the second host take its time."""

    def limit(mb_per_second: int) -> None:
        virsh = ["virsh", "-c", "qemu:///system", "migrate-setspeed", guest.id]
        cloud.run([*virsh, str(mb_per_second)], where="c2")

    limit(1)
    try:
        yield
    finally:
        limit(10_000)


def _is_at(compute: Any, guest: Guest, host: str, status: str) -> bool:
    """Whether Nova has a guest on a host in a status, and nothing to do with it."""
    server = compute.get_server(guest.id)
    return (server.compute_host, server.status, server.task_state) == (
        host,
        status,
        None,
    )


def _reason(records: Records, host: str, guest: Guest) -> Reason | None:
    line = records.line(host, guest)
    return None if line is None else line.reason


def _client(buddies: Buddies) -> AgentClient:
    """A line to the controller, as the second host's agent has one."""
    conf = cfg.ConfigOpts()
    conf([], project="membuddies", default_config_files=[])
    bus.register(conf)
    url = transport_url("membuddies", "membuddies")
    conf.set_override("transport_url", url, group=bus.GROUP)
    key = KeyRing.from_file(buddies.key_file("c2")).first
    return AgentClient(conf, SECOND, lambda: key)
