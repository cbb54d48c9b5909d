# SPDX-License-Identifier: Apache-2.0
"""Guests between two hosts: of two memories that on Nova's host counts."""

import contextlib
import time
from collections.abc import Iterator

from openstack.exceptions import BadRequestException

from membuddies_nova.bus.client import AgentClient
from membuddies_nova.bus.messages import Outcome, StoreRequest
from membuddies_nova.facts import Number, Reason
from membuddies_nova.fingerprint.seal import KeyRing
from tests.cloud import bus
from tests.cloud.lab.buddies import Buddies
from tests.cloud.lab.cloud import Cloud
from tests.cloud.lab.guests import Guest, Guests
from tests.cloud.records import Records

from .looks import (
    FIRST,
    SECOND,
    THIRD,
    listed,
    reason,
    until_also_on,
    until_scanned_on,
)


def test_a_guest_whose_resize_waits_for_confirmation_counts_where_it_runs(
    cloud: Cloud,
    buddies: Buddies,
    records: Records,
    guests: Guests,
    guest_on: dict[str, Guest],
) -> None:
    guest = guest_on[THIRD]
    compute = cloud.connect().compute
    # A cold migration is a resize to the flavor that the guest has.
    compute.migrate_server(guest.id, host=FIRST)
    buddies.wait(
        lambda: guests.is_settled(guest, "VERIFY_RESIZE", FIRST), "it is not resized"
    )
    until_scanned_on(buddies, records, guest, FIRST)
    # The source keeps it, to go back to.
    buddies.wait(
        lambda: reason(records, THIRD, guest) is Reason.SHUT_OFF,
        "the source's agent does not see it shut off",
    )
    row = listed(buddies)[guest.id]
    assert (row["host"], row["status"], row["reason"]) == (
        FIRST,
        "VERIFY_RESIZE",
        None,
    )
    until_also_on(buddies, guest, THIRD)

    compute.revert_server_resize(guest.id)
    buddies.wait(
        lambda: guests.is_settled(guest, "ACTIVE", THIRD), "the resize is not reverted"
    )
    until_also_on(buddies, guest, None)
    until_scanned_on(buddies, records, guest, THIRD)
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
            lambda: reason(records, THIRD, guest) is Reason.INCOMING,
            "the destination's agent does not see the guest arrive",
        )
        at_source = records.fingerprint(guest)
        assert at_source is not None
        assert at_source.host == SECOND
        assert records.holders(guest) == set()
        body = records.body(guest)
        until_also_on(buddies, guest, THIRD)
        assert compute.get_server(guest.id).task_state == "migrating"
    until_scanned_on(buddies, records, guest, THIRD)
    assert listed(buddies)[guest.id]["host"] == THIRD
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
    guests: Guests,
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
            lambda: guests.is_settled(guest, "SHUTOFF", SECOND), "it is not evacuated"
        )
        compute.start_server(guest.id)
        until_scanned_on(buddies, records, guest, SECOND)
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
        assert listed(buddies)[guest.id]["host"] == SECOND
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


@contextlib.contextmanager
def _crawling(cloud: Cloud, guest: Guest) -> Iterator[None]:
    """Lets the guest's live migration from the second host take its time."""

    def limit(mb_per_second: int) -> None:
        cloud.virsh(SECOND, "migrate-setspeed", guest.id, str(mb_per_second))

    limit(1)
    try:
        yield
    finally:
        limit(10_000)


def _client(buddies: Buddies) -> AgentClient:
    """A line to the controller, as the second host's agent has one."""
    key = KeyRing.from_file(buddies.key_file("c2")).first
    return AgentClient(bus.options(), SECOND, lambda: key)
