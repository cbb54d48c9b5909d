# SPDX-License-Identifier: Apache-2.0
"""A scoreboard's bytes on the wire: whole, and when nothing has changed.

The controller's answers to ``scoreboard`` as oslo.messaging hands them to the
broker, for 1,000 hosts, 10,000 guests, 100 images and 200 projects.

Run: python -m tests.benchmarks.board_wire
"""

import json
import sys

from membuddies_nova.bus.messages import ScoreboardAnswer
from membuddies_nova.scoreboard import codec
from tests.benchmarks import large_board
from tests.benchmarks.figure import Figure

ASKED_BYTES = 4 * 2**20
ASKED_UNCHANGED_BYTES = 400


def wire_bytes(answer: ScoreboardAnswer) -> int:
    """Length of the answer as JSON."""
    return len(json.dumps(answer.to_json()).encode())


def main() -> int:
    data = large_board.board_bytes()
    version = codec.version(data)
    whole = wire_bytes(ScoreboardAnswer(version=version, body=codec.compress(data)))
    unchanged = wire_bytes(ScoreboardAnswer(version=version, body=None))
    board = codec.decode(data)
    status = Figure(
        name="board_wire",
        what="a whole scoreboard in the controller's answer",
        how="at most",
        asked=ASKED_BYTES,
        measured=whole,
        unit="bytes",
        facts={
            "encoded bytes": len(data),
            "hosts": len(board.hosts),
            "guests": len(board.guest_uuid),
            "profiles within a trust scope": len(board.row_key),
            "of these with a host": len(board.entry_host),
            "pairs of them": len(board.overlap_row),
        },
    ).publish()
    return status | (
        Figure(
            name="board_wire_unchanged",
            what="the answer when nothing has changed",
            how="at most",
            asked=ASKED_UNCHANGED_BYTES,
            measured=unchanged,
            unit="bytes",
        ).publish()
    )


if __name__ == "__main__":
    sys.exit(main())
