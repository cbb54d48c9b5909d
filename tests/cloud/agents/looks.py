# SPDX-License-Identifier: Apache-2.0
"""How the tests of the agents look at a guest: in our records, and in Nova's."""

from typing import Any

from membuddies_nova.facts import Reason
from tests.cloud.lab.buddies import Buddies
from tests.cloud.lab.guests import Guest
from tests.cloud.lab.layout import HOSTS
from tests.cloud.records import Records

FIRST, SECOND, THIRD = (host.service_host for host in HOSTS)


def until_scanned(
    buddies: Buddies, records: Records, guest: Guest, since: float
) -> None:
    """Waits for a guest's fingerprint of a scan later than a moment."""
    buddies.wait(
        lambda: records.is_scanned(guest, since),
        f"no new fingerprint of {guest.name} is stored",
    )


def until_scanned_on(
    buddies: Buddies, records: Records, guest: Guest, host: str
) -> None:
    """Waits until a guest's stored fingerprint is from a host."""
    buddies.wait(
        lambda: (found := records.fingerprint(guest)) and found.host == host,
        f"no fingerprint of {guest.name} comes from {host}",
    )


def until_also_on(buddies: Buddies, guest: Guest, host: str | None) -> None:
    """Waits until the inventory has a guest on a host besides its own, or on none."""
    buddies.wait(
        lambda: buddies.json("guest", "show", guest.id)["other_host"] == host,
        f"{guest.name} does not count on {host} besides its own host",
    )


def listed(buddies: Buddies) -> dict[str, dict[str, Any]]:
    """What ``membuddies guest list`` says of each guest; keys are uuids."""
    return {row["uuid"]: row for row in buddies.json("guest", "list", "--long")}


def reason(records: Records, host: str, guest: Guest) -> Reason | None:
    """Why a host's agent has no memory of a guest to tell of."""
    line = records.line(host, guest)
    return None if line is None else line.reason
