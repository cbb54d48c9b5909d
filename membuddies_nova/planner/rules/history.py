# SPDX-License-Identifier: Apache-2.0
"""Rules that look back: what was moved, and what Nova would not move."""

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.planner import cost
from membuddies_nova.planner.rules.rule import Rule
from membuddies_nova.planner.situation import Situation


class Cooldown(Rule):
    """A guest that was just moved stays for a while."""

    name = "cooldown"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        limit = situation.limits.cooldown_seconds
        if guest.last_moved_seconds is None or guest.last_moved_seconds >= limit:
            return None
        return (
            f"it was moved {guest.last_moved_seconds:.0f} s ago and stays for "
            f"{limit:.0f} s"
        )


class Cycle(Rule):
    """A guest does not go back to where an earlier plan took it from."""

    name = "cycle"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        limit = situation.limits.cycle_seconds
        left = guest.left_hosts.get(host.name)
        if left is None or left >= limit:
            return None
        return (
            f"a plan took it from {host.name} {left:.0f} s ago, and it does not go "
            f"back for {limit:.0f} s"
        )


class LastMoveRefused(Rule):
    """What Nova refused it will refuse again, until something has changed."""

    name = "last-move-refused"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        limit = situation.limits.refused_seconds
        if guest.refused_seconds is None or guest.refused_seconds >= limit:
            return None
        return (
            f"Nova refused to move it {guest.refused_seconds:.0f} s ago, and it "
            f"stays for {limit:.0f} s"
        )


class ChangesTooFast(Rule):
    """A migration that copies slower than the guest writes never ends."""

    name = "changes-too-fast"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        changed = cost.changed_mb_per_second(guest, situation.resident_mb(guest))
        limit = situation.limits.copy_mb_per_second / 2
        if changed <= limit:
            return None
        return (
            f"it changes {changed:.0f} MB a second, more than half of what a "
            f"migration copies"
        )
