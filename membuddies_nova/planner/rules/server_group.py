# SPDX-License-Identifier: Apache-2.0
"""Rules of Nova's server groups, one for each policy.

The hard policies are kept as Nova's filters keep them. The soft ones, which
Nova only weighs, are never made worse by a move.
"""

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.planner.rules.rule import Rule
from membuddies_nova.planner.situation import Situation


class Affinity(Rule):
    """Members of the group stay together on one host."""

    name = "affinity"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if not _has_policy(guest, "affinity"):
            return None
        if all(hosts == {host.name} for hosts in situation.group_hosts(guest)):
            return None
        return f"its server group {_group(guest)} stays together on one host"


class AntiAffinity(Rule):
    """No more members on one host than the group's rules allow."""

    name = "anti-affinity"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if guest.group is None or guest.group.policy != "anti-affinity":
            return None
        members = sum(host.name in hosts for hosts in situation.group_hosts(guest))
        if members < guest.group.max_server_per_host:
            return None
        return f"{host.name} has {members} of its server group {_group(guest)} already"


class SoftAffinity(Rule):
    """A move never parts a guest from more members than it joins."""

    name = "soft-affinity"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        source = situation.occupancy.host_of(guest.uuid)
        if source is None or not _has_policy(guest, "soft-affinity"):
            return None
        hosts = situation.group_hosts(guest)
        there = sum(each == {host.name} for each in hosts)
        here = sum(source in each for each in hosts)
        if there >= here:
            return None
        return f"it would leave members of its server group {_group(guest)}"


class SoftAntiAffinity(Rule):
    """A move never joins a guest to more members than it parts from."""

    name = "soft-anti-affinity"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        source = situation.occupancy.host_of(guest.uuid)
        if source is None or not _has_policy(guest, "soft-anti-affinity"):
            return None
        hosts = situation.group_hosts(guest)
        there = sum(host.name in each for each in hosts)
        here = sum(each == {source} for each in hosts)
        if there <= here:
            return None
        return f"it would join members of its server group {_group(guest)}"


def _has_policy(guest: Guest, policy: str) -> bool:
    return guest.group is not None and guest.group.policy == policy


def _group(guest: Guest) -> str:
    return guest.group.name if guest.group is not None else ""
