# SPDX-License-Identifier: Apache-2.0
"""A guest's own agent, asked to run a program and to hand over a file.

For the tracer inside the guest. Speaks the QEMU guest agent's protocol
(https://www.qemu.org/docs/master/interop/qemu-ga-ref.html) over whatever carries
a command there and an answer back. Whoever answers is the guest, which may be
hostile: each answer is checked before it is used, none is ever logged, no loop
goes on without a limit, and no answer can make more memory than was asked for.
"""

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from membuddies_agent.errors import NoFingerprint, ScanInterrupted
from membuddies_nova import exceptions
from membuddies_nova.facts import Reason

READ_BYTES = 1 << 20
"""One call reads at most this much."""

_FIRST_POLL_SECONDS = 0.01
_LONGEST_POLL_SECONDS = 0.25
"""Whether a program has ended is asked ever more rarely, down to this."""

_NEEDED = frozenset(
    {
        "guest-exec",
        "guest-exec-status",
        "guest-file-open",
        "guest-file-read",
        "guest-file-close",
    }
)

_T = TypeVar("_T")

Carry = Callable[[str], str]
"""Carries a command, as JSON, to the guest, and its answer back.

:raises NoFingerprint: if no answer comes
:raises CommandRefused: if the guest's agent answers with an error
"""


class CommandRefused(exceptions.MembuddiesError):
    """The guest's agent answered a command with an error."""


class GuestAgent:
    """One guest's agent.

    :param carry: the way to the guest and back
    :param stop: set to give up
    """

    def __init__(self, carry: Carry, stop: threading.Event) -> None:
        self._carry = carry
        self._stop = stop

    def check(self) -> None:
        """Ask what the agent may do.

        :raises NoFingerprint: if it does not answer, or may not run programs
            and read files
        """
        commands = _field(self._ask("guest-info"), "supported_commands", list)
        enabled = {
            command.get("name")
            for command in commands
            if isinstance(command, dict)
            and isinstance(command.get("name"), str)
            and command.get("enabled") is True
        }
        if not enabled >= _NEEDED:
            raise NoFingerprint(Reason.GUEST_EXEC_BLOCKED)

    def run(self, path: str, *arguments: str, timeout_seconds: float) -> int | None:
        """Run a program in the guest until it ends.

        :returns: its exit status, None if a signal ended it
        :raises CommandRefused: if it cannot be run
        :raises NoFingerprint: if it does not end in time
        :raises ScanInterrupted: if the agent is being stopped
        """
        deadline = time.monotonic() + timeout_seconds
        # What it prints is not asked for: its status is all that is used.
        started = self._ask("guest-exec", path=path, arg=list(arguments))
        pid = _field(started, "pid", int)
        pause = _FIRST_POLL_SECONDS
        while True:
            status = self._ask("guest-exec-status", pid=pid)
            if _field(status, "exited", bool):
                return _exit_status(status)
            if time.monotonic() > deadline:
                raise NoFingerprint(Reason.TRACE_FAILED)
            if self._stop.wait(pause):
                raise ScanInterrupted("the agent is stopping")
            pause = min(2 * pause, _LONGEST_POLL_SECONDS)

    def read(self, path: str, limit_bytes: int) -> bytes:
        """Read a file of the guest whole.

        :raises CommandRefused: if it cannot be opened or read
        :raises NoFingerprint: if it is larger than the limit
        """
        handle = self._ask("guest-file-open", path=path, mode="r")
        if not _is(handle, int):
            raise _implausible()
        content = bytearray()
        try:
            while len(content) <= limit_bytes:
                asked = min(READ_BYTES, limit_bytes + 1 - len(content))
                answer = self._ask("guest-file-read", handle=handle, count=asked)
                piece = _bytes(answer, asked)
                content += piece
                if _field(answer, "eof", bool):
                    return bytes(content)
                if not piece:
                    raise _implausible()
        finally:
            self._ask("guest-file-close", handle=handle)
        raise _implausible()

    def _ask(self, command: str, **arguments: object) -> object:
        """The value that the agent returns for a command."""
        question: dict[str, object] = {"execute": command}
        if arguments:
            question["arguments"] = arguments
        text = self._carry(json.dumps(question))
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            raise _implausible() from None
        if not isinstance(answer, dict) or "return" not in answer:
            raise _implausible()
        return answer["return"]


def _implausible() -> NoFingerprint:
    return NoFingerprint(Reason.TRACE_IMPLAUSIBLE)


def _is(value: object, kind: type) -> bool:
    """Whether a value is of a kind; true and false are no numbers."""
    return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)


def _field(answer: object, name: str, kind: type[_T]) -> _T:
    if not isinstance(answer, dict) or not _is(answer.get(name), kind):
        raise _implausible()
    value: _T = answer[name]
    return value


def _exit_status(answer: object) -> int | None:
    """Of a program that has ended; None if a signal ended it."""
    if isinstance(answer, dict) and "exitcode" not in answer:
        return None
    return _field(answer, "exitcode", int)


def _bytes(answer: object, limit_bytes: int) -> bytes:
    """What a read returned, at most as much as was asked for."""
    text = _field(answer, "buf-b64", str)
    if len(text) > 4 * (limit_bytes // 3 + 1):
        raise _implausible()
    try:
        piece = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _implausible() from None
    if len(piece) > limit_bytes or _field(answer, "count", int) != len(piece):
        raise _implausible()
    return piece
