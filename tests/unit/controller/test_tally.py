# SPDX-License-Identifier: Apache-2.0
"""Counting everything, logging little."""

import threading

from membuddies_nova.controller import tally
from membuddies_nova.controller.gate import Gate
from membuddies_nova.controller.tally import Tally


def test_a_flood_of_one_kind_is_one_line(caplog):
    counted = Tally()
    for number in range(1000):
        counted.warn("refused:body", f"message {number}")
    counted.warn("dropped", "another kind", 3)
    assert counted.counts() == {"refused:body": 1000, "dropped": 3}
    assert [record.getMessage() for record in caplog.records] == [
        "message 0",
        "another kind",
    ]


def test_the_next_line_says_how_many_were_not_logged(caplog, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(tally.time, "monotonic", lambda: now[0])
    counted = Tally()
    for second in (0.0, 1.0, 2.0, 61.0):
        now[0] = 100.0 + second
        counted.warn("refused:body", f"at {second:g}")
    assert [record.getMessage() for record in caplog.records] == [
        "at 0",
        "at 61 (and 2 more before)",
    ]


def test_a_gate_is_crowded_when_twice_as_many_wait():
    gate = Gate(2)
    leave = threading.Event()
    inside = threading.Semaphore(0)

    def visit():
        with gate:
            inside.release()
            leave.wait(60)

    visitors = [threading.Thread(target=visit) for _ in range(6)]
    for visitor in visitors[:2]:
        visitor.start()
        inside.acquire()
    assert not gate.crowded
    for visitor in visitors[2:]:
        visitor.start()
    while not gate.crowded:
        pass
    leave.set()
    for visitor in visitors:
        visitor.join()
    assert not gate.crowded
