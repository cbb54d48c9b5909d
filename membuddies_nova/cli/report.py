# SPDX-License-Identifier: Apache-2.0
"""Commands whose answer is one object: a report to read, or JSON to process.

With ``-f table`` a command renders its report itself; the other formats print
the object with the keys that the command promises.
"""

import abc
import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cliff.show import ShowOne

from membuddies_nova.cli.help_text import WrittenHelp


class ReportCommand(WrittenHelp, ShowOne):
    """A command that shows one object.

    ``conflict_handler``: ``--format`` is ours where a command defines it, and
    cliff's output format is then ``-f`` alone.
    """

    conflict_handler = "resolve"

    @abc.abstractmethod
    def answer(self, parsed_args: argparse.Namespace) -> Mapping[str, Any]:
        """Do the work.

        :returns: the object, its keys in order
        :raises InputError: if the call or a file is wrong
        """

    @abc.abstractmethod
    def rendered(self, answer: Mapping[str, Any]) -> str:
        """The answer as a report for people."""

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Any]]:
        answer = self.answer(parsed_args)
        return tuple(answer), tuple(answer.values())

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Sequence[Any],
    ) -> int:
        if parsed_args.formatter == "table" and not parsed_args.columns:
            report = self.rendered(dict(zip(column_names, data, strict=True)))
            self.app.stdout.write(report.rstrip("\n") + "\n")
            return 0
        if parsed_args.formatter in ("shell", "value", "table"):
            data = [_flat(value) for value in data]
        return super().produce_output(parsed_args, column_names, data)


def aligned(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A plain table: numbers to the right, everything else to the left."""
    rows = list(rows)
    numeric = [
        bool(rows) and all(isinstance(row[at], int | float) for row in rows)
        for at in range(len(headings))
    ]
    lines = [list(headings)] + [[_text(cell) for cell in row] for row in rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def _flat(value: object) -> object:
    """What does not fit into a line of text is written as JSON."""
    return json.dumps(value) if isinstance(value, dict | list) else value


def _text(cell: object) -> str:
    if cell is None:
        return "-"
    return f"{cell:.1f}" if isinstance(cell, float) else str(cell)
