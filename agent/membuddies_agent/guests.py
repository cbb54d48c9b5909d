# SPDX-License-Identifier: Apache-2.0
"""Which guests this host has, and why some have no fingerprint.

For the scanner, which scans those without a reason, and the reporter, which
tells all. It puts libvirt's domains beside the host's QEMU processes; it reads
no memory.
"""

import dataclasses
from collections.abc import Iterable, Mapping

from membuddies_agent.domain import Domain, DomainState
from membuddies_agent.procfs import Process
from membuddies_agent.source import HOST_READS, Choice
from membuddies_nova.facts import Reason, Source

NOTHING_TOLD: Mapping[str, Source] = {}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """One guest of this host.

    :ivar process: its QEMU, None if there is none here
    :ivar reason: why it cannot be scanned, None if it can
    :ivar source: who reads its memory, ``HOST`` or ``GUEST``
    :ivar memory_bytes: the most that it can have
    """

    uuid: str
    process: Process | None
    reason: Reason | None
    source: Source = Source.HOST
    memory_bytes: int = 0


def guests(
    domains: Iterable[Domain],
    processes: Mapping[str, Process],
    young_ticks: float,
    choice: Choice = HOST_READS,
    told: Mapping[str, Source] = NOTHING_TOLD,
) -> tuple[Guest, ...]:
    """The guests behind the domains.

    :param processes: this host's QEMU processes by uuid
    :param young_ticks: a process that started later is too young, in clock ticks
        since the machine booted
    :param choice: who reads guests' memory on this host
    :param told: what the controller says of that, by uuid; the domain's own word goes
        first
    """
    found = []
    for domain in domains:
        process = processes.get(domain.uuid)
        found.append(
            Guest(
                uuid=domain.uuid,
                process=process,
                reason=_reason(domain, process, young_ticks),
                source=choice.of(domain.source or told.get(domain.uuid)),
                memory_bytes=domain.memory_bytes,
            )
        )
    return tuple(found)


def _reason(
    domain: Domain, process: Process | None, young_ticks: float
) -> Reason | None:
    """The first reason that keeps a domain from being scanned."""
    if not domain.qemu:
        return Reason.NOT_QEMU
    if not domain.nova:
        return Reason.NOT_NOVA
    if domain.state is DomainState.SHUT_OFF:
        return Reason.SHUT_OFF
    if process is None:
        return Reason.NOT_QEMU
    if domain.state is DomainState.INCOMING:
        return Reason.INCOMING
    if domain.huge_pages:
        return Reason.HUGE_PAGES
    if domain.shared_memory:
        return Reason.SHARED_MEMORY
    if domain.unmergeable:
        return Reason.NOT_MERGEABLE
    if domain.pinned:
        return Reason.PINNED
    if domain.state is DomainState.PAUSED:
        return Reason.PAUSED
    if process.start_ticks > young_ticks and not domain.memory_came:
        return Reason.TOO_YOUNG
    return None
