# SPDX-License-Identifier: Apache-2.0
"""Rules of guests whose memory, processors or devices tie them to their host.

Nova can live-migrate some of them on some hypervisors; whether it works is known
only when it is tried, so none of them is tried.
"""

from typing import ClassVar

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.planner.rules.rule import Rule
from membuddies_nova.planner.situation import Situation

_TRUE = frozenset({"true", "yes", "on", "1", "t", "y"})


class PinnedCpus(Rule):
    """Dedicated processors, which the destination would have to have free."""

    name = "pinned-cpus"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        policy = guest.extra_specs.get("hw:cpu_policy", "shared")
        if policy != "shared":
            return f"its flavor asks for CPU policy {policy}"
        if "resources:PCPU" in guest.extra_specs:
            return "its flavor asks for dedicated CPUs"
        return None


class PinnedMemory(Rule):
    """A passed-through device has its memory pinned."""

    name = "pinned-memory"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        return "a device has its memory pinned" if guest.pinned_memory else None


class HugePages(Rule):
    """KSM merges no huge page, and the destination would have to have them free."""

    name = "huge-pages"
    _SMALL: ClassVar = frozenset({"small", "4", "4kb", "4kib", "4096b"})

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        size = guest.extra_specs.get("hw:mem_page_size", "small")
        if size.lower() in self._SMALL:
            return None
        return f"its flavor or image asks for pages of size {size}"


class PciDevices(Rule):
    name = "pci-devices"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if "pci_passthrough:alias" in guest.extra_specs:
            alias = guest.extra_specs["pci_passthrough:alias"]
            return f"it has PCI devices: {alias}"
        for spec in guest.extra_specs:
            if spec.startswith("resources") and spec.endswith((":VGPU", ":PGPU")):
                return f"it has devices of its host: {spec}"
        return None


class EncryptedMemory(Rule):
    """SEV: the memory is encrypted under a key of its host's processor."""

    name = "encrypted-memory"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        specs = guest.extra_specs
        encrypted = specs.get("hw:mem_encryption", "").lower() in _TRUE or any(
            specs.get(f"trait:{trait}") == "required"
            for trait in ("HW_CPU_X86_AMD_SEV", "HW_CPU_X86_AMD_SEV_ES")
        )
        return "its memory is encrypted (SEV)" if encrypted else None
