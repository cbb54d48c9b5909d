# SPDX-License-Identifier: Apache-2.0
"""The cloud's key, changed while everything runs."""

import secrets
import signal
import time
from typing import Any

from membuddies_nova.fingerprint import codec
from membuddies_nova.fingerprint.seal import SealKey
from tests.cloud.lab.buddies import Buddies
from tests.cloud.lab.cloud import Cloud
from tests.cloud.lab.guests import Guest
from tests.cloud.records import Records

from .looks import FIRST, SECOND, THIRD, until_scanned


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
        until_scanned(buddies, records, guest, since)
    status = buddies.json("status")
    assert status["keys"] == {new_id: sorted([FIRST, SECOND, THIRD])}
    dropped = status["dropped_messages"]
    assert (dropped["forged"], dropped["unknown-key"]) == (0, 0)
