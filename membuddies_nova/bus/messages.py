# SPDX-License-Identifier: Apache-2.0
"""What travels over the bus: three questions and their answers, as plain JSON.

``report``, ``store`` and ``scoreboard`` are RPC methods with one argument,
``message``. Every message carries the version that wrote it. A reader takes its
own version and both neighbours: it ignores keys that it does not know, and a
new version gives each new key a meaning when absent. So agents, controllers and
schedulers may be upgraded in any order, one version at a time.

Agents' questions carry their place in the agent's order and a tag under the
cloud's key (:mod:`.tag`), in every version.

``from_json`` believes nothing: sizes, types, ranges and what contradicts itself
are checked, and a :class:`~membuddies_nova.exceptions.MessageError` names the
first field that is wrong.
"""

import base64
import dataclasses
import enum
import functools
from collections.abc import Mapping
from typing import Any, Self

from membuddies_nova.bus import fields
from membuddies_nova.exceptions import MessageError
from membuddies_nova.facts import (
    MAX_CHANGES_PER_HOUR,
    Cause,
    GuestFacts,
    HostFacts,
    Number,
    Reason,
    Source,
    Wanted,
)
from membuddies_nova.fingerprint import codec
from membuddies_nova.scoreboard.codec import MAX_BYTES as MAX_BOARD_BYTES

MESSAGE_VERSION = 1

MAX_GUESTS = 10_000
"""Guests of one host's report."""

MAX_BODY_BYTES = 2**20
"""Of a fingerprint; 65,536 items need less than half of it."""

MAX_REASON = 1000

Json = dict[str, Any]


class Outcome(enum.StrEnum):
    """What became of a question.

    ``HELD``: Nova does not (yet) place the guest on the sender's host.
    ``REFUSED``: the message is wrong, sending it again will not help.
    ``UNAVAILABLE``: the database is away; ask again later.
    """

    OK = "ok"
    STORED = "stored"
    UNCHANGED = "unchanged"
    OLDER = "older"
    HELD = "held"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A host's facts and, for each guest, its newest fingerprint's name.

    :ivar host: as Nova spells it
    :ivar number: its place among the agent's reports
    :ivar sent_at: seconds since the epoch by the agent's clock
    """

    host: str
    number: Number
    guests: tuple[GuestFacts, ...]
    facts: HostFacts
    sent_at: float

    def to_json(self) -> Json:
        return {
            "version": MESSAGE_VERSION,
            "host": self.host,
            "started": self.number.started,
            "counter": self.number.counter,
            "sent_at": self.sent_at,
            "facts": self.facts.to_json(),
            "guests": [dataclasses.asdict(guest) for guest in self.guests],
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """:raises MessageError: naming the first field that is wrong"""
        message, version = _versioned(value)
        host = fields.text(message, "host")
        entries = fields.sequence(message, "guests", MAX_GUESTS)
        guests = tuple(_guest_facts(entry, version) for entry in entries)
        if len({guest.uuid for guest in guests}) != len(guests):
            raise MessageError("guests", "names one guest twice")
        facts = HostFacts.from_json(message.get("facts"))
        _check_facts(facts)
        return cls(
            host=host,
            number=_number(message),
            sent_at=fields.moment(message, "sent_at"),
            guests=guests,
            facts=facts,
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoreRequest:
    """One guest's fingerprint.

    :ivar number: its place in the agent's order
    :ivar digest: of the body
    :ivar scanned_at: when the scan ended, seconds since the epoch
    :ivar body: as :mod:`membuddies_nova.fingerprint.codec` writes it
    """

    host: str
    guest: str
    number: Number
    digest: str
    scanned_at: float
    body: bytes

    def to_json(self) -> Json:
        return {
            "version": MESSAGE_VERSION,
            "host": self.host,
            "guest": self.guest,
            "started": self.number.started,
            "counter": self.number.counter,
            "digest": self.digest,
            "scanned_at": self.scanned_at,
            "body": base64.b64encode(self.body).decode(),
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a request; what the body holds is not looked at.

        :raises MessageError: naming the first field that is wrong
        """
        message, _ = _versioned(value)
        body = fields.body(message, "body", MAX_BODY_BYTES)
        digest = fields.digest(message, "digest")
        if codec.digest(body) != digest:
            raise MessageError("digest", "is not that of the body")
        return cls(
            host=fields.text(message, "host"),
            guest=fields.guest_uuid(message, "guest"),
            number=_number(message),
            digest=digest,
            scanned_at=fields.moment(message, "scanned_at"),
            body=body,
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScoreboardRequest:
    """Whether there is a newer scoreboard.

    :ivar board_version: of the one that the asker holds, None for none
    """

    host: str
    board_version: str | None

    def to_json(self) -> Json:
        return {
            "version": MESSAGE_VERSION,
            "host": self.host,
            "board_version": self.board_version,
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """:raises MessageError: naming the first field that is wrong"""
        message, _ = _versioned(value)
        return cls(
            host=fields.text(message, "host"),
            board_version=fields.optional(message, "board_version", fields.digest),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReportAnswer:
    """What the controller wants.

    :ivar wanted: the guests whose fingerprint is to be sent, or made anew
    :ivar sources: who shall read a guest's memory, by uuid, where its flavor or its
        image says so
    :ivar slow_down_seconds: at least this long until the next report, 0 if
        there is no need
    :ivar reason: for anything but ``OK``
    """

    outcome: Outcome = Outcome.OK
    wanted: tuple[Wanted, ...] = ()
    sources: Mapping[str, Source] = dataclasses.field(default_factory=dict)
    slow_down_seconds: float = 0.0
    reason: str = ""

    def to_json(self) -> Json:
        return {
            "version": MESSAGE_VERSION,
            "outcome": self.outcome.value,
            "wanted": [dataclasses.asdict(wanted) for wanted in self.wanted],
            "sources": [
                {"guest": guest, "source": source.value}
                for guest, source in self.sources.items()
            ],
            "slow_down_seconds": self.slow_down_seconds,
            "reason": self.reason[:MAX_REASON],
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """:raises MessageError: naming the first field that is wrong"""
        message, version = _versioned(value)
        entries = fields.sequence(message, "wanted", MAX_GUESTS)
        return cls(
            outcome=_outcome(message),
            wanted=tuple(_wanted(entry, version) for entry in entries),
            sources=_sources(message),
            slow_down_seconds=fields.moment(message, "slow_down_seconds"),
            reason=_reason(message),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoreAnswer:
    """What became of a fingerprint.

    :ivar reason: for anything but stored
    """

    outcome: Outcome
    reason: str = ""

    def to_json(self) -> Json:
        return {
            "version": MESSAGE_VERSION,
            "outcome": self.outcome.value,
            "reason": self.reason[:MAX_REASON],
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """:raises MessageError: naming the first field that is wrong"""
        message, _ = _versioned(value)
        return cls(outcome=_outcome(message), reason=_reason(message))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScoreboardAnswer:
    """The newest scoreboard.

    :ivar version: of the newest board, empty if the outcome is not ``OK``
    :ivar body: encoded, None if the asker holds that version
    """

    version: str
    body: bytes | None
    outcome: Outcome = Outcome.OK
    reason: str = ""

    def to_json(self) -> Json:
        return {
            "version": MESSAGE_VERSION,
            "outcome": self.outcome.value,
            "reason": self.reason[:MAX_REASON],
            "board_version": self.version,
            "body": None if self.body is None else base64.b64encode(self.body).decode(),
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """:raises MessageError: naming the first field that is wrong"""
        message, _ = _versioned(value)
        outcome = _outcome(message)
        if outcome is not Outcome.OK:
            return cls(version="", body=None, outcome=outcome, reason=_reason(message))
        return cls(
            version=fields.digest(message, "board_version"),
            body=fields.optional(
                message,
                "body",
                functools.partial(fields.body, most_bytes=MAX_BOARD_BYTES),
            ),
        )


def _versioned(value: object) -> tuple[Mapping[str, Any], int]:
    """A message and the version that wrote it."""
    message = fields.mapping(value, "message")
    version = fields.count(message, "version")
    if not max(1, MESSAGE_VERSION - 1) <= version <= MESSAGE_VERSION + 1:
        raise MessageError(
            "version",
            f"{version} is not known here, where {MESSAGE_VERSION} is spoken; "
            f"upgrade one version at a time",
        )
    return message, version


def _number(message: Mapping[str, Any]) -> Number:
    return Number(
        started=fields.count(message, "started"),
        counter=fields.count(message, "counter"),
    )


def _sources(message: Mapping[str, Any]) -> dict[str, Source]:
    """What is missing, or not known here, says nothing."""
    if "sources" not in message:
        return {}
    found = {}
    for value in fields.sequence(message, "sources", MAX_GUESTS):
        entry = fields.mapping(value, "sources")
        source = Source.of_text(fields.text(entry, "source"))
        if source is not None:
            found[fields.guest_uuid(entry, "guest")] = source
    return found


def _guest_facts(value: object, version: int) -> GuestFacts:
    entry = fields.mapping(value, "guests")
    uuid = fields.guest_uuid(entry, "uuid")
    reason = entry.get("reason")
    if reason is not None:
        try:
            reason = Reason(fields.text(entry, "reason"))
        except ValueError:
            if version <= MESSAGE_VERSION:
                raise MessageError("reason", "is not a known reason") from None
            reason = None
    if entry.get("counter") is None:
        return GuestFacts(uuid=uuid, reason=reason)
    return GuestFacts(
        uuid=uuid,
        counter=fields.count(entry, "counter"),
        digest=fields.digest(entry, "digest"),
        scanned_at=fields.moment(entry, "scanned_at"),
        reason=reason,
        change_fraction_per_hour=fields.optional(
            entry,
            "change_fraction_per_hour",
            functools.partial(fields.number, most=MAX_CHANGES_PER_HOUR),
        ),
    )


def _wanted(value: object, version: int) -> Wanted:
    entry = fields.mapping(value, "wanted")
    guest = fields.guest_uuid(entry, "guest")
    try:
        return Wanted(guest, Cause(fields.text(entry, "cause")))
    except ValueError:
        if version <= MESSAGE_VERSION:
            raise MessageError("cause", "is not a known cause") from None
        # Whatever a newer controller wants it for, sending it is right.
        return Wanted(guest, Cause.UNKNOWN)


def _check_facts(facts: HostFacts) -> None:
    """Refuse what cannot be true together."""
    for part, whole in (
        ("mem_available_bytes", "mem_total_bytes"),
        ("swap_free_bytes", "swap_total_bytes"),
        ("huge_pages_free", "huge_pages_total"),
    ):
        least, most = getattr(facts, part), getattr(facts, whole)
        if least is not None and most is not None and least > most:
            raise MessageError(f"facts.{part}", f"{least} is more than {whole} {most}")
    for name in ("memory_pressure", "memory_pressure_full"):
        fraction = getattr(facts, name)
        if fraction is not None and fraction > 1:
            raise MessageError(f"facts.{name}", f"{fraction} is more than 1")


def _outcome(message: Mapping[str, Any]) -> Outcome:
    try:
        return Outcome(fields.text(message, "outcome"))
    except ValueError:
        raise MessageError("outcome", "is not a known outcome") from None


def _reason(message: Mapping[str, Any]) -> str:
    reason = message.get("reason", "")
    if not isinstance(reason, str) or len(reason) > MAX_REASON:
        raise MessageError("reason", "is not a short text")
    return reason
