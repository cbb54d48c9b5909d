# SPDX-License-Identifier: Apache-2.0
"""Rules of the guest alone: it stays, whatever the destination."""

from typing import ClassVar

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.planner.rules.rule import Rule
from membuddies_nova.planner.situation import Situation


class OptedOut(Rule):
    """The operator or the tenant does not let the guest be moved."""

    name = "opted-out"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        return None if guest.movable else "it is opted out of being moved"


class Locked(Rule):
    name = "locked"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        return "it is locked" if guest.locked else None


class NotActive(Rule):
    """Nova live-migrates only what runs."""

    name = "not-active"
    _RUNNING: ClassVar[int] = 1

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if guest.status != "ACTIVE":
            return f"its status is {guest.status}, not ACTIVE"
        if guest.power_state not in (None, self._RUNNING):
            return f"its power state is {guest.power_state}, not running"
        return None


class Busy(Rule):
    name = "busy"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if guest.task_state is not None:
            return f"it is busy: task state {guest.task_state}"
        return None


class Migrating(Rule):
    name = "migrating"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        return "it is migrating already" if guest.migrating else None


class SourceDown(Rule):
    """Nothing can migrate off a host whose compute service is down."""

    name = "source-down"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        source = situation.source_of(guest)
        if source is None or source.up:
            return None
        return f"the compute service of its host {source.name} is down"
