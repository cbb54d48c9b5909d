# SPDX-License-Identifier: Apache-2.0
"""What of the agents' messages is believed, and where it goes.

Nova decides where a guest is, not the agents: a fingerprint from a host on which
Nova does not see the guest is held until the inventory has been read again
(:mod:`inventory_turn`). What cannot be true is refused with the reason; it is
never stored in part.

A message that was recorded and sent again is not newer than what its host has sent
since: it changes nothing and is counted as replayed. The newest one itself, sent
twice, is a duplicate, as brokers make them.
"""

import collections
import functools
import math

from membuddies_nova.bus.messages import (
    Outcome,
    Report,
    ReportAnswer,
    StoreAnswer,
    StoreRequest,
)
from membuddies_nova.bus.tag import Proof
from membuddies_nova.controller.gate import Gate
from membuddies_nova.controller.tally import Tally
from membuddies_nova.db import fingerprints, held, inventory, reports
from membuddies_nova.db.api import Database, Session
from membuddies_nova.db.fingerprints import StoreOutcome
from membuddies_nova.db.held import HoldOutcome
from membuddies_nova.db.reports import ReportOutcome
from membuddies_nova.exceptions import FingerprintError, MessageError
from membuddies_nova.facts import Source, Wanted
from membuddies_nova.fingerprint import codec
from membuddies_nova.fingerprint.page import PAGE_SIZE
from membuddies_nova.fingerprint.sample import Sample

_REPLAYED = "replayed"

SLOW_DOWN_SECONDS = 120.0
"""Two report periods by default: half the load."""

# An honest sample is never beyond this many standard errors: once in 10^23.
_IMPOSSIBLE_ERRORS = 10.0

# Both enumerations use one word for one thing, so the words are the keys.
_ANSWERS: dict[str, tuple[Outcome, str]] = {
    StoreOutcome.STORED: (Outcome.STORED, ""),
    StoreOutcome.UNCHANGED: (Outcome.UNCHANGED, "it is stored already"),
    StoreOutcome.DUPLICATE: (Outcome.UNCHANGED, "it has come already"),
    StoreOutcome.OLDER: (Outcome.OLDER, "a newer one has come already"),
    HoldOutcome.HELD: (
        Outcome.HELD,
        "Nova does not see the guest on this host; it is held until the inventory "
        "is read again",
    ),
    HoldOutcome.FULL: (
        Outcome.REFUSED,
        "Nova sees none of the many guests held for this host; is [agent] host "
        "spelled as in 'openstack compute service list'?",
    ),
}


class Admission:
    """Judges and stores, for any number of threads.

    :param store_workers: fingerprints at a time
    :param age_limit_seconds: a fingerprint whose scan is older is wanted anew
    """

    def __init__(
        self,
        database: Database,
        tally: Tally,
        store_workers: int,
        age_limit_seconds: float,
    ) -> None:
        self._database = database
        self._tally = tally
        self._age_limit_seconds = age_limit_seconds
        self._gate = Gate(store_workers)

    def report(self, report: Report, proof: Proof, now: float) -> ReportAnswer:
        """Keep a report and say whose fingerprint is wanted.

        :param proof: that the host has the cloud's key
        :param now: seconds since the epoch
        :raises DatabaseUnavailableError: if it does not answer
        """
        outcome, wanted = self._database.write(
            functools.partial(
                _keep_report,
                report=report,
                proof=proof,
                now=now,
                expired_before=now - self._age_limit_seconds,
            )
        )
        if outcome is ReportOutcome.OLDER:
            self._tally.warn(
                _REPLAYED,
                f"Dropped a report of {report.host} that is not newer than its last "
                f"one: replayed or late, or two agents have this name",
            )
            return ReportAnswer(
                outcome=Outcome.REFUSED,
                reason="a newer report of this host is stored; was the clock set back "
                "before the agent started, or has another agent the same [agent] host?",
            )
        stored = outcome is ReportOutcome.STORED
        self._tally.count("reports" if stored else outcome.value)
        for cause, number in collections.Counter(one.cause for one in wanted).items():
            self._tally.count(f"wanted:{cause}", number)
        return ReportAnswer(
            wanted=tuple(wanted),
            sources=self._sources(report.host),
            slow_down_seconds=SLOW_DOWN_SECONDS if self._gate.crowded else 0.0,
        )

    def _sources(self, host: str) -> dict[str, Source]:
        """Who shall read the memory of a host's guests, where Nova's word says so."""
        with self._database.reader() as session:
            return inventory.sources_on(session, host)

    def store(self, request: StoreRequest, proof: Proof, now: float) -> StoreAnswer:
        """Keep a fingerprint; it is committed when this returns.

        :param proof: that the host has the cloud's key
        :param now: seconds since the epoch
        :raises MessageError: if the fingerprint is none, or cannot be true
        :raises DatabaseUnavailableError: if it does not answer
        """
        with self._gate:
            try:
                sample = codec.decode(request.body)
            except FingerprintError as error:
                raise MessageError("body", str(error)) from None
            _check_key(sample, proof)
            _check_sample(sample)
            kept = self._database.write(
                functools.partial(_keep, request=request, sample=sample, now=now)
            )
        outcome, reason = _ANSWERS[kept]
        if outcome is Outcome.OLDER:
            self._tally.warn(
                _REPLAYED,
                f"Dropped a fingerprint of {request.guest} from {request.host} that is "
                f"older than its last one there: replayed or late",
            )
        else:
            self._tally.count(kept.value)
        return StoreAnswer(outcome=outcome, reason=reason)


def _keep_report(
    session: Session,
    report: Report,
    proof: Proof,
    now: float,
    expired_before: float,
) -> tuple[ReportOutcome, list[Wanted]]:
    outcome = reports.store(
        session,
        report.host,
        report.number,
        report.facts,
        report.guests,
        now,
        tag=proof.tag,
        key_id=proof.key_id,
    )
    if outcome is ReportOutcome.OLDER:
        return outcome, []
    fingerprints.confirm(session, report.host, report.number.started, report.guests)
    return outcome, fingerprints.wanted(
        session, report.host, report.guests, expired_before
    )


def _keep(
    session: Session, request: StoreRequest, sample: Sample, now: float
) -> StoreOutcome | HoldOutcome:
    facts = reports.facts(session, request.host)
    if facts is not None:
        _check_resident(sample, facts.mem_total_bytes)
    arguments = (
        request.guest,
        request.host,
        request.number,
        request.digest,
        request.body,
        request.scanned_at,
        now,
    )
    outcome = fingerprints.store(session, *arguments)
    if outcome is StoreOutcome.ELSEWHERE:
        return held.hold(session, *arguments)
    return outcome


def _check_key(sample: Sample, proof: Proof) -> None:
    """Refuse a body under another key than its message."""
    if sample.key_id.hex() != proof.key_id:
        raise MessageError(
            "body",
            f"is sealed under key {sample.key_id.hex()}, its message tagged under "
            f"{proof.key_id}",
        )


def _check_sample(sample: Sample) -> None:
    """Refuse more items than so many unique pages give."""
    expected = sample.counters.unique_pages / 2**sample.shift
    most = expected + _IMPOSSIBLE_ERRORS * (math.sqrt(expected) + 1.0)
    if sample.shift and len(sample.items) > most:
        raise MessageError(
            "body",
            f"{len(sample.items)} items of shift {sample.shift} cannot come from "
            f"{sample.counters.unique_pages} unique pages",
        )


def _check_resident(sample: Sample, memory_bytes: int) -> None:
    """Refuse a guest larger than its host: Placement gives no guest more."""
    resident = sample.counters.resident_pages
    if resident * PAGE_SIZE > memory_bytes:
        raise MessageError(
            "body",
            f"{resident} resident pages are more than the host's {memory_bytes} bytes",
        )
