# SPDX-License-Identifier: Apache-2.0
"""Rules of scheduler hints, which Nova keeps and asks again at a migration.

What guests asked of each other counts from both sides: a guest does not come to
one that wants to be elsewhere, and does not leave one that wants to be with it.
"""

from typing import ClassVar

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.planner.rules.rule import Rule
from membuddies_nova.planner.situation import Situation


class DifferentHost(Rule):
    """Nova's DifferentHostFilter."""

    name = "different-host"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        named = guest.hinted_guests("different_host")
        for other in situation.present_on(host):
            if other.uuid != guest.uuid and (
                other.uuid in named
                or guest.uuid in other.hinted_guests("different_host")
            ):
                return f"{other.name} and it were to be on different hosts"
        return None


class SameHost(Rule):
    """Nova's SameHostFilter: on the host of any of the guests that are named."""

    name = "same-host"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        named = guest.hinted_guests("same_host")
        staying = {other.uuid for other in situation.staying_on(host.name)}
        if named and not named & staying:
            return f"none of the guests that it was to be with is on {host.name}"
        source = situation.occupancy.host_of(guest.uuid)
        if source is None:
            return None
        left = {other.uuid for other in situation.staying_on(source)} - {guest.uuid}
        for other in situation.staying_on(source):
            wanted = other.hinted_guests("same_host")
            if guest.uuid in wanted and other.uuid != guest.uuid and not wanted & left:
                return f"{other.name} was to be on the same host"
        return None


class UnknownHint(Rule):
    """A hint whose meaning only Nova's scheduler knows keeps its guest."""

    name = "scheduler-hint"
    _OURS: ClassVar = frozenset({"different_host", "same_host", "group"})

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        for hint in sorted(guest.hints):
            if hint not in self._OURS and not hint.startswith("_"):
                return f"it was booted with the scheduler hint {hint}"
        return None
