# SPDX-License-Identifier: Apache-2.0
"""Guests that hold still: paused, and shut off."""

from membuddies_nova.facts import Reason
from tests.cloud.lab.buddies import Buddies
from tests.cloud.lab.cloud import Cloud
from tests.cloud.lab.guests import Guest
from tests.cloud.records import Records

from .looks import THIRD, listed, reason


def test_a_paused_guest_keeps_its_numbers_and_is_not_scanned(
    cloud: Cloud, buddies: Buddies, records: Records, guest_on: dict[str, Guest]
) -> None:
    guest = guest_on[THIRD]
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
        cloud.restart_service("membuddies-agent-c3")
        buddies.wait(
            lambda: reason(records, THIRD, guest) is Reason.PAUSED,
            "the new agent does not say that the guest is paused",
        )
        assert records.fingerprint(guest) == kept
        row = listed(buddies)[guest.id]
        assert (row["status"], row["reason"]) == ("PAUSED", None)
        assert row["unique_pages"] > 0
    finally:
        compute.unpause_server(guest.id)
    buddies.wait(
        lambda: records.fingerprint(guest) != kept, "the guest is not scanned again"
    )


def test_a_guest_that_is_shut_off_has_no_memory_to_share(
    cloud: Cloud, buddies: Buddies, records: Records, guest_on: dict[str, Guest]
) -> None:
    guest = guest_on[THIRD]
    cloud.connect("red").compute.stop_server(guest.id)
    buddies.wait(
        lambda: (
            reason(records, THIRD, guest) is Reason.SHUT_OFF
            and records.status(guest) == "SHUTOFF"
        ),
        "the guest is not seen shut off",
    )
    row = listed(buddies)[guest.id]
    assert row["reason"] == Reason.SHUT_OFF.sentence
    assert row["unique_pages"] is None
