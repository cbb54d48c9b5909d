# SPDX-License-Identifier: Apache-2.0
"""In which order a plan's moves run, and what one that did not run costs others.

Pure. Moves of one wave may run together; a wave starts when all before it have
ended. A move that failed or was skipped leaves its guest where it was, so a
later wave that counts on its source or destination is not what was planned.
"""

from collections.abc import Sequence

from membuddies_nova.db.moves import OPEN, MoveRecord
from membuddies_nova.rebalancer.policy import OnFailure

_NOT_MOVED = frozenset({"failed", "skipped", "cancelled"})


def startable(moves: Sequence[MoveRecord]) -> list[MoveRecord]:
    """The moves that may start now as far as their order goes."""
    waiting = [record for record in moves if record.state == "planned"]
    if not waiting:
        return []
    wave = min(record.move.wave for record in waiting)
    if any(record.state in OPEN and record.move.wave < wave for record in moves):
        return []
    return [record for record in waiting if record.move.wave == wave]


def to_skip(
    moves: Sequence[MoveRecord], on_failure: OnFailure
) -> list[tuple[MoveRecord, str]]:
    """Moves that shall not start any more, each with the reason."""
    skipped = []
    for record in moves:
        if record.state != "planned":
            continue
        for other in moves:
            if other.state not in _NOT_MOVED:
                continue
            if on_failure is OnFailure.STOP and other.state == "failed":
                skipped.append((record, f"the move of guest {other.move.guest} failed"))
                break
            if other.position in record.move.needs:
                reason = f"it needs the move of guest {other.move.guest}"
                skipped.append((record, f"{reason} ({other.state})"))
                break
            shared = _hosts(record) & _hosts(other)
            if other.move.wave < record.move.wave and shared:
                skipped.append(
                    (
                        record,
                        f"the earlier move of guest {other.move.guest} "
                        f"({other.state}) was from or to host {min(shared)}",
                    )
                )
                break
    return skipped


def conclusion(moves: Sequence[MoveRecord]) -> tuple[str, str] | None:
    """A plan's final state and a sentence, None while a move is left."""
    states = [record.state for record in moves]
    if any(state == "planned" or state in OPEN for state in states):
        return None
    counts = ", ".join(
        f"{states.count(state)} {state}"
        for state in ("done", "failed", "skipped", "cancelled")
        if state in states
    )
    return "failed" if "failed" in states else "done", counts or "no moves"


def _hosts(record: MoveRecord) -> set[str]:
    return {str(record.move.source), record.move.destination}
