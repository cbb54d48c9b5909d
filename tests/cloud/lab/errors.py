# SPDX-License-Identifier: Apache-2.0
"""The lab's errors: one root, each message a sentence that says where to look."""

from pathlib import Path


class LabError(Exception):
    """The lab could not do what was asked; the message says what and why."""


class CommandFailed(LabError):
    """A command in a machine ended with a status other than 0."""

    def __init__(self, where: str, argv: list[str], status: int, output: str) -> None:
        self.argv = argv
        self.status = status
        self.output = output
        last = "\n".join(output.splitlines()[-15:])
        super().__init__(f"on {where}: {' '.join(argv)} ended with {status}:\n{last}")


class ServiceFailed(LabError):
    """A service ended, or did not become ready in time.

    The message holds the last lines of its log and the log's path.
    """

    def __init__(self, name: str, what: str, log: Path) -> None:
        self.name = name
        self.log = log
        super().__init__(f"{name} {what}; the end of {log}:\n{log_tail(log)}")


def log_tail(log: Path, lines: int = 15) -> str:
    """The last ``lines`` lines of a log that may not exist yet."""
    if not log.exists():
        return "(no log)"
    with log.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - 20_000))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])
