# SPDX-License-Identifier: Apache-2.0
"""Rules of a guest and a destination, whatever else moves."""

from membuddies_nova.cluster import Guest, Host, KsmState
from membuddies_nova.planner.rules.rule import Rule
from membuddies_nova.planner.situation import Situation


class HostDisabled(Rule):
    name = "host-disabled"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        return None if host.enabled else f"{host.name} is disabled"


class HostDown(Rule):
    name = "host-down"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        return None if host.up else f"the compute service of {host.name} is down"


class Ksm(Rule):
    """Of a host without news of its KSM nobody knows how full it will be.

    One where KSM is off may take guests: they count there as they are.
    """

    name = "ksm"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if host.ksm is not KsmState.UNKNOWN:
            return None
        return f"what KSM does on {host.name} is not known"


class Isolation(Rule):
    """A host with a trust group takes only that group's guests."""

    name = "isolation"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if host.trust_group in (None, guest.trust_group):
            return None
        return f"{host.name} takes only guests of trust group {host.trust_group}"


class Cell(Rule):
    """Live migration cannot cross a cell's border."""

    name = "cell"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if guest.cell is None or host.cell in (None, guest.cell):
            return None
        return f"{host.name} is in cell {host.cell}, the guest in {guest.cell}"


class PinnedZone(Rule):
    """A zone that the user asked for; the zone a host happens to be in is none."""

    name = "pinned-zone"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if guest.pinned_zone in (None, host.zone):
            return None
        return f"it was asked for in zone {guest.pinned_zone}, {host.name} is elsewhere"


class Hypervisor(Rule):
    """Nova refuses another hypervisor, and one older than the source's."""

    name = "hypervisor"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        source = situation.source_of(guest)
        if source is None:
            return None
        if None not in (source.hypervisor_type, host.hypervisor_type) and (
            source.hypervisor_type != host.hypervisor_type
        ):
            return (
                f"{host.name} runs {host.hypervisor_type}, its host "
                f"{source.hypervisor_type}"
            )
        if (
            source.hypervisor_version is not None
            and host.hypervisor_version is not None
            and host.hypervisor_version < source.hypervisor_version
        ):
            return f"the hypervisor of {host.name} is older than its host's"
        return None


class Cpu(Rule):
    """A running guest may use any feature of the processors that it runs on."""

    name = "cpu"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        source = situation.source_of(guest)
        if source is None or None in (source.cpu_traits, host.cpu_traits):
            return None
        missing = set(source.cpu_traits or ()) - set(host.cpu_traits or ())
        if not missing:
            return None
        return f"the processors of {host.name} lack {min(missing)} of its host's"
