# SPDX-License-Identifier: Apache-2.0
"""Whatever a guest answers is a sample that can be true, or a reason."""

import base64
import contextlib
import json
import struct
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from membuddies_agent import guest_agent, trace
from membuddies_agent.errors import NoFingerprint, ScanInterrupted
from membuddies_agent.guest_agent import CommandRefused, GuestAgent
from membuddies_nova.facts import Reason
from membuddies_nova.fingerprint import page, sample

COMMANDS = sorted(guest_agent._NEEDED)
INFO = {"supported_commands": [{"name": name, "enabled": True} for name in COMMANDS]}
MEMORY_BYTES = 64 << 20


def file(
    ids=(5, 9), *, magic=b"MBTRACE1", seed=0, pages=100, zero=10, shift=6, count=None
) -> bytes:
    head = struct.pack(
        *("<8sQQQQII", magic, seed, pages, zero, 0, shift),
        len(ids) if count is None else count,
    )
    return head + np.array(ids, dtype="<u8").tobytes()


class Answers:
    """A guest's agent that answers as it is told, the same each time."""

    def __init__(self, **answers: object) -> None:
        self.answers = {
            "guest-info": INFO,
            "guest-exec": {"pid": 7},
            "guest-exec-status": {"exited": True, "exitcode": 0},
            "guest-file-open": 3,
            "guest-file-read": read(file()),
            "guest-file-close": {},
        } | {name.replace("_", "-"): answer for name, answer in answers.items()}
        self.asked: list[dict] = []

    def carry(self, command: str) -> str:
        question = json.loads(command)
        self.asked.append(question)
        answer = self.answers[question["execute"]]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, str) else json.dumps({"return": answer})

    def trace(self) -> sample.Sample:
        agent = GuestAgent(self.carry, threading.Event())
        return trace.trace(
            agent, seed=0, memory_bytes=MEMORY_BYTES, timeout_seconds=0.0
        )

    def reason(self) -> Reason:
        with pytest.raises(NoFingerprint) as raised:
            self.trace()
        return raised.value.reason


def read(content: bytes, *, eof: object = True, count: object = None) -> dict:
    return {
        "count": len(content) if count is None else count,
        "buf-b64": base64.b64encode(content).decode(),
        "eof": eof,
    }


def test_a_sample_is_what_the_file_says():
    guest = Answers()
    found = guest.trace()
    assert list(found.items) == [5, 9]
    assert found.shift == 6
    # Two items at shift 6 stand for 128 pages, but only 90 are not zero.
    assert found.counters == sample.Counters(
        resident_pages=100, unique_pages=90, zero_pages=10
    )
    executed = [
        question["arguments"]
        for question in guest.asked
        if question["execute"] == "guest-exec"
    ]
    assert executed == [
        {"path": "/usr/sbin/membuddies-trace", "arg": ["0", "0"]},
        {"path": "/usr/sbin/membuddies-trace", "arg": ["--remove"]},
    ]


@pytest.mark.parametrize(
    "answers",
    [
        {"guest_info": "no JSON"},
        {"guest_info": "[" * 100_000},
        {"guest_info": '{"error": {"desc": "no"}}'},
        {"guest_info": []},
        {"guest_info": {"supported_commands": "all"}},
        {"guest_exec": {}},
        {"guest_exec": {"pid": "7"}},
        {"guest_exec": {"pid": True}},
        {"guest_exec_status": {"exited": 1}},
        {"guest_exec_status": {"exited": True, "exitcode": "0"}},
        {"guest_file_open": None},
        {"guest_file_open": "3"},
        {"guest_file_read": {}},
        {"guest_file_read": {"count": 3, "buf-b64": "!!!!", "eof": True}},
        {"guest_file_read": {"count": 3, "buf-b64": "\xe9\xe9\xe9\xe9", "eof": True}},
        {"guest_file_read": {"count": 3, "buf-b64": 7, "eof": True}},
        {"guest_file_read": read(file(), count=1)},
        {"guest_file_read": read(file(), eof="yes")},
        # Without end: nothing comes, or always more.
        {"guest_file_read": read(b"", eof=False)},
        {"guest_file_read": read(file(), eof=False)},
        # More than was asked for.
        {"guest_file_read": read(bytes(1 << 20))},
    ],
)
def test_an_answer_that_cannot_be_is_a_reason(answers):
    assert Answers(**answers).reason() is Reason.TRACE_IMPLAUSIBLE


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"guest_info": {"supported_commands": []}}, Reason.GUEST_EXEC_BLOCKED),
        (
            {
                "guest_info": {
                    "supported_commands": [
                        {"name": name, "enabled": name != "guest-exec"}
                        for name in COMMANDS
                    ]
                }
            },
            Reason.GUEST_EXEC_BLOCKED,
        ),
        (
            {"guest_info": {"supported_commands": [None, {"name": [1]}, {}]}},
            Reason.GUEST_EXEC_BLOCKED,
        ),
        ({"guest_exec": CommandRefused("no")}, Reason.TRACER_MISSING),
        ({"guest_file_open": CommandRefused("no")}, Reason.TRACE_FAILED),
        (
            {"guest_info": NoFingerprint(Reason.GUEST_AGENT_SILENT)},
            Reason.GUEST_AGENT_SILENT,
        ),
    ],
)
def test_what_a_guest_does_not_allow_is_a_reason(answers, reason):
    assert Answers(**answers).reason() is reason


@pytest.mark.parametrize(
    "content",
    [
        b"",
        file()[:-1],
        file() + b"\0",
        file(magic=b"MBTRACE2"),
        file(seed=1),
        file(shift=5),
        file(shift=64),
        file(shift=2**32 - 1),
        file(count=2**32 - 1),
        file((9, 5)),
        file((5, 5)),
        file((5, 1 << 58)),
        file((page.zero_page_id(),), shift=6),
        file(pages=11),
        file(pages=2**64 - 1),
        file(pages=(MEMORY_BYTES >> 12) + 1),
        file(zero=101),
        # All of a thousand pages have six leading zero bits.
        file(tuple(range(1, 1001)), pages=1000, zero=0),
    ],
)
def test_a_file_that_cannot_be_true_is_a_reason(content):
    guest = Answers(guest_file_read=read(content))
    assert guest.reason() is Reason.TRACE_IMPLAUSIBLE
    assert guest.asked[-2]["arguments"]["arg"] == ["--remove"]


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda b: file()[:48] + b))
def test_any_bytes_are_a_sample_or_a_reason(content):
    with contextlib.suppress(NoFingerprint):
        found = trace.decode(content, seed=0, memory_pages=1000)
        assert np.all(found.items[1:] > found.items[:-1])
        assert found.counters.resident_pages <= 1000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["exited", "exitcode", "eof", "count"]), inner
        )
    ),
    max_leaves=8,
)


@given(st.sampled_from([*COMMANDS, "guest-info"]), JSON)
def test_any_answer_is_a_sample_or_a_reason(command, answer):
    if command == "guest-exec-status" and isinstance(answer, dict):
        answer["exited"] = True
    with contextlib.suppress(NoFingerprint):
        Answers(**{command.replace("-", "_"): answer}).trace()


def test_a_guest_of_a_terabyte_is_asked_for_no_more_than_others(monkeypatch):
    guest = Answers()
    agent = GuestAgent(guest.carry, threading.Event())
    trace.trace(agent, seed=0, memory_bytes=2**40, timeout_seconds=0.0)
    (count,) = [
        question["arguments"]["count"]
        for question in guest.asked
        if question["execute"] == "guest-file-read"
    ]
    assert count == 48 + 8 * sample.MAX_ITEMS + 1


def test_a_program_is_asked_ever_more_rarely_whether_it_has_ended():
    guest, pauses = Answers(guest_exec_status={"exited": False}), []

    class Stop(threading.Event):
        def wait(self, timeout=None):
            pauses.append(timeout)
            return len(pauses) == 8

    with pytest.raises(ScanInterrupted):
        GuestAgent(guest.carry, Stop()).run("/bin/sleep", timeout_seconds=60.0)
    assert pauses == [0.01, 0.02, 0.04, 0.08, 0.16, 0.25, 0.25, 0.25]
