# SPDX-License-Identifier: Apache-2.0
"""What an agent tells of its host and guests, besides the fingerprints.

A missing fact is None: a kernel without PSI or an unreadable file is no error.
``from_json`` refuses what cannot be true, because the values come over a bus.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, Self

from membuddies_nova import exceptions
from membuddies_nova.cluster import KsmState

MAX_CHANGES_PER_HOUR = 1e6
"""Of a guest's pages, in a report; more than any pair of scans can tell."""

FINGERPRINT_SOURCE_KEY = "membuddies:fingerprint_source"
"""A flavor's extra spec that says who reads its guests' memory."""


class Source(enum.StrEnum):
    """Who reads a guest's memory for its fingerprint: its host or itself.

    ``AUTO``: the host if it may read guests, else the guest.
    """

    HOST = "host"
    GUEST = "guest"
    AUTO = "auto"

    @classmethod
    def of_text(cls, text: str | None) -> Self | None:
        """What an extra spec says; None if it is missing or says nothing known."""
        return cls(text) if text in tuple(cls) else None


class Reason(enum.StrEnum):
    """Why a guest on a host has no fingerprint of its own."""

    NOT_MERGEABLE = "not-mergeable"
    HUGE_PAGES = "huge-pages"
    SHARED_MEMORY = "shared-memory"
    PINNED = "pinned"
    PAUSED = "paused"
    SHUT_OFF = "shut-off"
    INCOMING = "incoming"
    GONE = "gone"
    TOO_YOUNG = "too-young"
    NOT_NOVA = "not-nova"
    NOT_QEMU = "not-qemu"
    UNREADABLE = "unreadable"
    LIBVIRT_REFUSED = "libvirt-refused"
    GUEST_AGENT_SILENT = "guest-agent-silent"
    GUEST_EXEC_BLOCKED = "guest-exec-blocked"
    TRACER_MISSING = "tracer-missing"
    MODULE_REFUSED = "module-refused"
    TRACE_FAILED = "trace-failed"
    TRACE_IMPLAUSIBLE = "trace-implausible"

    @property
    def sentence(self) -> str:
        """The reason as an operator reads it."""
        return _SENTENCES[self]


_SENTENCES = {
    Reason.NOT_MERGEABLE: (
        "no mapping is mergeable: mem-merge=off, huge pages or nosharepages"
    ),
    Reason.HUGE_PAGES: "its memory is huge pages, which KSM does not merge",
    Reason.SHARED_MEMORY: "its memory backing is shared, which KSM does not merge",
    Reason.PINNED: "its memory is pinned by a passed-through device",
    Reason.PAUSED: "it is paused",
    Reason.SHUT_OFF: "it is not running",
    Reason.INCOMING: "it is still arriving by live migration",
    Reason.GONE: "it ended while it was scanned",
    Reason.TOO_YOUNG: "it started too recently to hold still",
    Reason.NOT_NOVA: "its libvirt domain carries no Nova metadata",
    Reason.NOT_QEMU: "its libvirt domain is not a QEMU process of this host",
    Reason.UNREADABLE: (
        "its memory cannot be read: the agent lacks CAP_SYS_PTRACE or "
        "CAP_DAC_READ_SEARCH"
    ),
    Reason.LIBVIRT_REFUSED: (
        "libvirt refuses the agent a read-write connection, without which a guest "
        "cannot be asked for its fingerprint"
    ),
    Reason.GUEST_AGENT_SILENT: (
        "its QEMU guest agent does not answer: its image needs "
        "hw_qemu_guest_agent=yes and the package qemu-guest-agent"
    ),
    Reason.GUEST_EXEC_BLOCKED: (
        "its QEMU guest agent is not allowed guest-exec and guest-file-read"
    ),
    Reason.TRACER_MISSING: (
        "the package membuddies-guest is not installed in it, or has no module "
        "for its kernel"
    ),
    Reason.MODULE_REFUSED: (
        "its kernel refuses the module: lockdown, Secure Boot, or a module that "
        "was built for another kernel"
    ),
    Reason.TRACE_FAILED: (
        "its tracer failed or did not end in time; the guest's kernel log says why"
    ),
    Reason.TRACE_IMPLAUSIBLE: (
        "what its guest agent or its tracer answered cannot be true"
    ),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KsmFacts:
    """The files of /sys/kernel/mm/ksm that matter, None where missing.

    See Documentation/admin-guide/mm/ksm.rst of the kernel.

    :ivar state: what the values together mean for a guest that arrives
    :ivar full_scan_age_seconds: since full_scans last rose, as the agent saw
    """

    state: KsmState = KsmState.UNKNOWN
    run: int | None = None
    pages_shared: int | None = None
    pages_sharing: int | None = None
    pages_unshared: int | None = None
    pages_volatile: int | None = None
    full_scans: int | None = None
    merge_across_nodes: int | None = None
    max_page_sharing: int | None = None
    use_zero_pages: int | None = None
    smart_scan: int | None = None
    pages_to_scan: int | None = None
    sleep_millisecs: int | None = None
    full_scan_age_seconds: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """One host at the time of a report.

    :ivar swap_in_pages_per_second: mean since the report before
    :ivar memory_pressure: PSI memory "some" avg60 as a fraction, 0 to 1
    :ivar huge_pages_total: of the default size
    :ivar thp: the bracketed word of transparent_hugepage/enabled
    """

    mem_total_bytes: int
    mem_available_bytes: int
    swap_total_bytes: int = 0
    swap_free_bytes: int = 0
    swap_in_pages_per_second: float | None = None
    memory_pressure: float | None = None
    memory_pressure_full: float | None = None
    huge_pages_total: int | None = None
    huge_pages_free: int | None = None
    huge_page_bytes: int | None = None
    thp: str | None = None
    kernel: str | None = None
    ksm: KsmFacts = dataclasses.field(default_factory=KsmFacts)

    def to_json(self) -> dict[str, Any]:
        """Plain values for the bus and the database."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read what ``to_json`` wrote; keys of newer versions are ignored.

        :raises MessageError: for a wrong type or a value that cannot be true
        """
        facts = _checked(cls, "facts", value, nested={"ksm"})
        ksm = _checked(KsmFacts, "facts.ksm", facts.pop("ksm", {}), nested={"state"})
        try:
            ksm["state"] = KsmState(ksm.get("state", KsmState.UNKNOWN))
        except ValueError:
            raise exceptions.MessageError(
                "facts.ksm.state", f"unknown state {ksm['state']!r}"
            ) from None
        for name in ("mem_total_bytes", "mem_available_bytes"):
            if name not in facts:
                raise exceptions.MessageError(f"facts.{name}", "is missing")
        return cls(**facts, ksm=KsmFacts(**ksm))


def _checked(
    cls: type[HostFacts] | type[KsmFacts], field: str, value: object, nested: set[str]
) -> dict[str, Any]:
    """The known keys of a mapping, each a number or text that can be true."""
    if not isinstance(value, Mapping):
        raise exceptions.MessageError(field, "is not a mapping")
    known = {}
    for entry in dataclasses.fields(cls):
        if entry.name not in value:
            continue
        item = value[entry.name]
        path = f"{field}.{entry.name}"
        if entry.name in nested or (item is None and entry.type is not int):
            known[entry.name] = item
            continue
        if entry.type in (str, str | None):
            if not isinstance(item, str) or len(item) > 255:
                raise exceptions.MessageError(path, "is not a short text")
        elif (
            isinstance(item, bool)
            or not isinstance(item, int | float)
            or (isinstance(item, float) and entry.type in (int, int | None))
            or not 0 <= item < 2**63
        ):
            raise exceptions.MessageError(path, f"is not a number from 0: {item!r}")
        known[entry.name] = item
    return known


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GuestFacts:
    """One guest's line in a report.

    :ivar counter: number of its newest fingerprint, None if it has none
    :ivar digest: of that fingerprint's bytes, as lower-case hexadecimal
    :ivar scanned_at: when that scan ended, in seconds since the epoch
    :ivar reason: why it has no fingerprint, None if it has one
    :ivar change_fraction_per_hour: how often a stable page of it changes in an hour,
        on average, None while fewer than two scans tell
    """

    uuid: str
    counter: int | None = None
    digest: str | None = None
    scanned_at: float | None = None
    reason: Reason | None = None
    change_fraction_per_hour: float | None = None


class Cause(enum.StrEnum):
    """Why a controller wants a guest's fingerprint from its agent.

    ``UNKNOWN``: it has none from that host. ``DIFFERS``: it has another one.
    ``EXPIRED``: it has this one, but the scan is too long ago: scan anew.
    """

    UNKNOWN = "unknown"
    DIFFERS = "differs"
    EXPIRED = "expired"


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """A guest whose fingerprint a controller wants, and why."""

    guest: str
    cause: Cause


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Number:
    """A place in an agent's order: what is newer compares greater.

    Fingerprints have one order, reports another.

    :ivar started: when the agent started, in milliseconds since the epoch
    :ivar counter: rises with every fingerprint that the agent makes, or with
        every report that it sends
    """

    started: int
    counter: int
