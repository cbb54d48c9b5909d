# SPDX-License-Identifier: Apache-2.0
"""The controller's side of each question: JSON in, JSON out, never an exception.

A message that is wrong is answered with what is wrong with it, counted by the
field, and logged once a minute. What an agent is said to have sent is believed
only with a tag under one of the cloud's keys; what is forged counts apart. While the
database is away the answer says so, so that agents wait instead of sending.
"""

import time
from collections.abc import Callable
from typing import Any, Protocol

from oslo_log import log as logging

from membuddies_nova.bus import tag, transport
from membuddies_nova.bus.messages import (
    Json,
    Outcome,
    Report,
    ReportAnswer,
    ScoreboardAnswer,
    ScoreboardRequest,
    StoreAnswer,
    StoreRequest,
)
from membuddies_nova.controller.admission import SLOW_DOWN_SECONDS, Admission
from membuddies_nova.controller.tally import Tally
from membuddies_nova.db.api import DatabaseUnavailableError, SchemaError
from membuddies_nova.exceptions import MessageError
from membuddies_nova.fingerprint import seal

LOG = logging.getLogger(__name__)

Refuse = Callable[[Outcome, str], Json]


class BoardAnswer(Protocol):
    """The newest board; the body is None if the asker has that version."""

    @property
    def version(self) -> str: ...

    @property
    def body(self) -> bytes | None: ...


class Board(Protocol):
    """Where the newest scoreboard comes from."""

    def current(self, version: str | None, now: float) -> BoardAnswer: ...


class Endpoint:
    """Answers the bus, for any number of threads.

    :param keys: whose tags are believed
    """

    target = transport.target()

    def __init__(
        self, keys: seal.KeyFile, admission: Admission, board: Board, tally: Tally
    ) -> None:
        self._keys = keys
        self._admission = admission
        self._board = board
        self._tally = tally

    def report(self, _context: object, /, message: Any = None, **_newer: Any) -> Json:
        """See :class:`~membuddies_nova.bus.messages.Report`."""

        def answer() -> Json:
            report = Report.from_json(message)
            proof = tag.check("report", message, self._keys.ring)
            return self._admission.report(report, proof, time.time()).to_json()

        return self._answered("report", answer, _report_refused)

    def store(self, _context: object, /, message: Any = None, **_newer: Any) -> Json:
        """See :class:`~membuddies_nova.bus.messages.StoreRequest`."""

        def answer() -> Json:
            request = StoreRequest.from_json(message)
            proof = tag.check("store", message, self._keys.ring)
            return self._admission.store(request, proof, time.time()).to_json()

        return self._answered("store", answer, _store_refused)

    def scoreboard(
        self, _context: object, /, message: Any = None, **_newer: Any
    ) -> Json:
        """See :class:`~membuddies_nova.bus.messages.ScoreboardRequest`."""

        def answer() -> Json:
            request = ScoreboardRequest.from_json(message)
            board = self._board.current(request.board_version, time.time())
            self._tally.count("scoreboards")
            if board.body is not None:
                LOG.debug("Scoreboard of %d bytes sent", len(board.body))
            return ScoreboardAnswer(version=board.version, body=board.body).to_json()

        return self._answered("scoreboard", answer, _scoreboard_refused)

    def _answered(
        self, method: str, answer: Callable[[], Json], refuse: Refuse
    ) -> Json:
        try:
            return answer()
        except MessageError as error:
            self._tally.warn(f"refused:{error.field}", f"Refused a {method}: {error}")
            return refuse(Outcome.REFUSED, str(error))
        except tag.ForgedError as error:
            self._tally.warn("forged", f"Dropped a forged {method}: {error}")
            return refuse(Outcome.REFUSED, str(error))
        except tag.UnknownKeyError as error:
            self._tally.warn("unknown-key", f"Dropped a {method}: {error}")
            return refuse(Outcome.REFUSED, str(error))
        except (DatabaseUnavailableError, SchemaError) as error:
            self._tally.warn("database", f"No {method} answered: {error}")
            return refuse(Outcome.UNAVAILABLE, "the controller's database is away")
        except Exception as error:
            # Nobody foresaw it: the asker must still hear that it failed.
            LOG.exception("A %s failed", method)
            self._tally.count("failed")
            return refuse(
                Outcome.UNAVAILABLE,
                f"{type(error).__name__} in the controller; its log says more",
            )


def _report_refused(outcome: Outcome, reason: str) -> Json:
    slow_down = SLOW_DOWN_SECONDS if outcome is Outcome.UNAVAILABLE else 0.0
    return ReportAnswer(
        outcome=outcome, slow_down_seconds=slow_down, reason=reason
    ).to_json()


def _store_refused(outcome: Outcome, reason: str) -> Json:
    return StoreAnswer(outcome=outcome, reason=reason).to_json()


def _scoreboard_refused(outcome: Outcome, reason: str) -> Json:
    return ScoreboardAnswer(
        version="", body=None, outcome=outcome, reason=reason
    ).to_json()
