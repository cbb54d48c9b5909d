# SPDX-License-Identifier: Apache-2.0
"""One guest's fingerprint changes: until model and scoreboard are those of now.

The controller's own learner and writer in one process, for guests of 1 GiB with the
corpus' statistics in one project, where anybody may share with anybody. Guests of
popular and of rare images in turn get a fingerprint with as many other pages as a
recorded guest changes. Time begins with the snapshot that has it and ends when the
new scoreboard is there as arrays; reading the database is not in it. To write the
board as bytes and to compress it, which is done when a scheduler asks, is told beside
it; so is the count from nothing, and a guest that moves. The last board must be,
byte for byte, the one made from nothing.

Run: python -m tests.benchmarks.board_update [HOSTS]
"""

import collections
import dataclasses
import os
import resource
import statistics
import sys
import time
import uuid
from collections.abc import Iterator

from membuddies_nova.cluster import Scope
from membuddies_nova.fingerprint.sample import Sample
from membuddies_nova.model.board import BoardWriter, board_of
from membuddies_nova.model.profiles import Learner, learn
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.scoreboard import codec
from membuddies_nova.scoreboard.board import Scoreboard
from tests.benchmarks.clouds import CORPUS, churned, cloud
from tests.benchmarks.figure import Figure

HOSTS = 1000
GUESTS_EACH = 10
UPDATES = 40
MOVES = 10
ASKED_MS = 50.0


class Stopwatch:
    """Milliseconds of the clock and of the processor."""

    def __init__(self) -> None:
        self._started = (time.monotonic(), time.process_time())

    def read(self) -> tuple[float, float]:
        now = (time.monotonic(), time.process_time())
        started = self._started
        return 1000.0 * (now[0] - started[0]), 1000.0 * (now[1] - started[1])


class Controller:
    """What a controller keeps between two boards."""

    def __init__(self) -> None:
        self.learner = Learner(Scope.PROJECT)
        self._writer = BoardWriter(Scope.PROJECT)

    def board(self, snapshot: ClusterSnapshot) -> Scoreboard:
        return self._writer.write(snapshot, self.learner.learn(snapshot))


def with_uuids(snapshot: ClusterSnapshot) -> ClusterSnapshot:
    """The same with names as Nova gives them, in their order."""
    names = {
        guest.uuid: str(uuid.uuid5(uuid.NAMESPACE_OID, guest.uuid))
        for guest in snapshot.guests
    }
    guests = [
        dataclasses.replace(guest, uuid=names[guest.uuid]) for guest in snapshot.guests
    ]
    return dataclasses.replace(
        snapshot,
        guests=tuple(sorted(guests, key=lambda guest: guest.uuid)),
        samples={names[guest]: sample for guest, sample in snapshot.samples.items()},
    )


def chosen(snapshot: ClusterSnapshot) -> Iterator[str]:
    """Guests of the most popular images, of the rarest and of each, in turn."""
    of_image = collections.defaultdict(list)
    for guest in snapshot.guests:
        of_image[guest.image].append(guest.uuid)
    ranked = sorted(of_image.values(), key=len, reverse=True)
    turn = 0
    while True:
        for place in (0, -1, 1, turn % len(ranked)):
            yield ranked[place][turn % len(ranked[place])]
        turn += 1


def changed(snapshot: ClusterSnapshot, guest: str, sample: Sample) -> ClusterSnapshot:
    return dataclasses.replace(snapshot, samples={**snapshot.samples, guest: sample})


def moved(snapshot: ClusterSnapshot, guest: str, host: str) -> ClusterSnapshot:
    return dataclasses.replace(
        snapshot,
        guests=tuple(
            dataclasses.replace(each, host=host) if each.uuid == guest else each
            for each in snapshot.guests
        ),
    )


def main(hosts: int) -> int:
    snapshot = with_uuids(cloud(hosts, GUESTS_EACH * hosts))
    controller = Controller()
    watch = Stopwatch()
    controller.board(snapshot)
    anew = watch.read()
    guests = chosen(snapshot)
    updates, wire, moves = [], [], []
    for turn in range(UPDATES):
        guest = next(guests)
        new = churned(snapshot.samples[guest], CORPUS.churn, turn)
        snapshot = changed(snapshot, guest, new)
        watch = Stopwatch()
        board = controller.board(snapshot)
        updates.append(watch.read())
        assert (controller.learner.changed, controller.learner.counted_anew) == (1, 0)
        watch = Stopwatch()
        data = codec.encode(board)
        codec.version(data)
        body = codec.compress(data)
        wire.append(watch.read()[0])
    kept_mb = controller.learner.memory_bytes / 2**20
    for turn in range(MOVES):
        snapshot = moved(snapshot, next(guests), f"m{turn}")
        watch = Stopwatch()
        board = controller.board(snapshot)
        moves.append(watch.read()[0])
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    fresh = board_of(snapshot, learn(snapshot, Scope.PROJECT), Scope.PROJECT)
    same = codec.encode(fresh) == codec.encode(board)
    clock, processor = (sorted(each) for each in zip(*updates, strict=True))
    what = (
        f"one fingerprint changes, model and scoreboard updated, {hosts:,} hosts x "
        f"{len(snapshot.guests):,} guests"
    )
    status = Figure(
        name="board_update",
        what=f"{what}, median",
        how="at most",
        asked=ASKED_MS,
        measured=statistics.median(clock),
        unit="milliseconds",
        facts={
            "updates": len(updates),
            "processor's": round(statistics.median(processor), 1),
            "to encode, hash and compress": round(statistics.median(wire), 1),
            "compressed bytes": len(body),
            "a guest moves": round(statistics.median(moves), 1),
            "all from nothing, seconds": round(anew[0] / 1000.0, 1),
            "all from nothing, processor's": round(anew[1] / 1000.0, 1),
            "kept beside the samples, MB": round(kept_mb),
            "peak with the generator, MB": round(peak_mb),
            "equals the board made from nothing": same,
            "load_average": round(os.getloadavg()[0], 1),
        },
    ).publish()
    status |= Figure(
        name="board_update_worst",
        what=f"{what}, the longest of {len(updates)}",
        how="at most",
        asked=ASKED_MS,
        measured=clock[-1],
        unit="milliseconds",
        facts={
            "processor's": round(processor[-1], 1),
            "by the clock": [round(each) for each in clock],
        },
    ).publish()
    return status if same else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else HOSTS))
