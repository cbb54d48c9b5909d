# SPDX-License-Identifier: Apache-2.0
"""Rules that look back: what was moved, and what Nova would not move."""

import abc
from typing import ClassVar

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.planner import cost
from membuddies_nova.planner.limits import Limits
from membuddies_nova.planner.rules.rule import Rule
from membuddies_nova.planner.situation import Situation


class _Recent(Rule):
    """A guest stays for a while after something became of it."""

    what: ClassVar[str]

    @abc.abstractmethod
    def since(self, guest: Guest) -> float | None:
        """Seconds since then, None if it never happened."""

    @abc.abstractmethod
    def limit(self, limits: Limits) -> float:
        """For how many seconds it stays."""

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        since, limit = self.since(guest), self.limit(situation.limits)
        if since is None or since >= limit:
            return None
        return f"{self.what} {since:.0f} s ago, and it stays for {limit:.0f} s"


class Cooldown(_Recent):
    """A guest that was just moved stays for a while."""

    name = "cooldown"
    what = "it was moved"

    def since(self, guest: Guest) -> float | None:
        return guest.last_moved_seconds

    def limit(self, limits: Limits) -> float:
        return limits.cooldown_seconds


class LastMoveRefused(_Recent):
    """What Nova refused it will refuse again, until something has changed."""

    name = "last-move-refused"
    what = "Nova refused to move it"

    def since(self, guest: Guest) -> float | None:
        return guest.refused_seconds

    def limit(self, limits: Limits) -> float:
        return limits.refused_seconds


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
