# SPDX-License-Identifier: Apache-2.0
"""What of the agents' messages is believed, and where it goes.

Nova decides where a guest is, not the agents: a fingerprint from a host on which
Nova does not see the guest is held until the inventory has been read again
(:mod:`inventory_turn`). What cannot be true is refused with the reason; it is
never stored in part.
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
from membuddies_nova.controller.gate import Gate
from membuddies_nova.controller.tally import Tally
from membuddies_nova.db import fingerprints, held, reports
from membuddies_nova.db.api import Database, Session
from membuddies_nova.exceptions import FingerprintError, MessageError
from membuddies_nova.facts import Wanted
from membuddies_nova.fingerprint import codec
from membuddies_nova.fingerprint.page import PAGE_SIZE
from membuddies_nova.fingerprint.sample import Sample

SLOW_DOWN_SECONDS = 120.0
"""Two report periods by default: half the load."""

# An honest sample is never beyond this many standard errors: once in 10^23.
_IMPOSSIBLE_ERRORS = 10.0

_STORED = {
    fingerprints.StoreOutcome.STORED: (Outcome.STORED, ""),
    fingerprints.StoreOutcome.UNCHANGED: (Outcome.UNCHANGED, "it is stored already"),
    fingerprints.StoreOutcome.OLDER: (Outcome.OLDER, "a newer one is stored"),
}
_HELD = {
    held.HoldOutcome.HELD: (
        Outcome.HELD,
        "Nova does not see the guest on this host; it is held until the inventory "
        "is read again",
    ),
    held.HoldOutcome.UNCHANGED: (Outcome.UNCHANGED, "it is held already"),
    held.HoldOutcome.OLDER: (Outcome.OLDER, "a newer one is held"),
    held.HoldOutcome.FULL: (
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

    def report(self, report: Report, now: float) -> ReportAnswer:
        """Keep a report and say whose fingerprint is wanted.

        :param now: seconds since the epoch
        :raises DatabaseUnavailableError: if it does not answer
        """
        wanted = self._database.write(
            functools.partial(
                _keep_report,
                report=report,
                now=now,
                expired_before=now - self._age_limit_seconds,
            )
        )
        self._tally.count("reports")
        for cause, number in collections.Counter(one.cause for one in wanted).items():
            self._tally.count(f"wanted:{cause}", number)
        return ReportAnswer(
            wanted=tuple(wanted),
            slow_down_seconds=SLOW_DOWN_SECONDS if self._gate.crowded else 0.0,
        )

    def store(self, request: StoreRequest, now: float) -> StoreAnswer:
        """Keep a fingerprint; it is committed when this returns.

        :param now: seconds since the epoch
        :raises MessageError: if the fingerprint is none, or cannot be true
        :raises DatabaseUnavailableError: if it does not answer
        """
        with self._gate:
            try:
                sample = codec.decode(request.body)
            except FingerprintError as error:
                raise MessageError("body", str(error)) from None
            _check_sample(sample)
            outcome, reason = self._database.write(
                functools.partial(_keep, request=request, sample=sample, now=now)
            )
        self._tally.count(outcome.value)
        return StoreAnswer(outcome=outcome, reason=reason)


def _keep_report(
    session: Session, report: Report, now: float, expired_before: float
) -> list[Wanted]:
    reports.store(
        session, report.host, report.started, report.facts, report.guests, now
    )
    fingerprints.confirm(session, report.host, report.started, report.guests)
    return fingerprints.wanted(session, report.host, report.guests, expired_before)


def _keep(
    session: Session, request: StoreRequest, sample: Sample, now: float
) -> tuple[Outcome, str]:
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
    if outcome is fingerprints.StoreOutcome.ELSEWHERE:
        return _HELD[held.hold(session, *arguments)]
    return _STORED[outcome]


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
