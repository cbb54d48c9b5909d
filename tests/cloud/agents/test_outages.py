# SPDX-License-Identifier: Apache-2.0
"""An agent that is away, and agents whose controller has lost its database."""

import json
import signal
import time

from tests.cloud.lab.buddies import Buddies
from tests.cloud.lab.cloud import Cloud
from tests.cloud.lab.guests import Guest
from tests.cloud.records import Records

from .looks import THIRD, until_scanned

# Two of an agent's heartbeats may be late on a busy machine before it counts.
_MAX_AGE_SECONDS = 15


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
    until_scanned(buddies, records, guest, since=stopped_at)
    cloud.wait_until_hosts_report(since=stopped_at)
