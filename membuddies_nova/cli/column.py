# SPDX-License-Identifier: Apache-2.0
"""Cells that people and programs read differently."""

import argparse
import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cliff.columns import FormattableColumn

from membuddies_nova.cli.argument import positive_number
from membuddies_nova.cli.report import aligned
from membuddies_nova.fingerprint.page import PAGE_SIZE


class Maybe(FormattableColumn[Any]):
    """A value that may be missing: a dash for people, null for programs.

    Sorted before all that are there.
    """

    def __lt__(self, other: object) -> bool:
        assert isinstance(other, Maybe)
        if self._value is None or other._value is None:
            return self._value is None and other._value is not None
        return bool(self._value < other._value)

    def human_readable(self) -> str:
        return "-" if self._value is None else str(self._value)


class Records(FormattableColumn[Any]):
    """A list of records: a small table for people."""

    def human_readable(self) -> str:
        records: Sequence[Mapping[str, object]] = self._value
        if not records:
            return "-"
        return aligned(
            tuple(records[0]), [tuple(record.values()) for record in records]
        )


def maybe(values: Iterable[object]) -> tuple[Maybe, ...]:
    """A row of which any value may be missing."""
    return tuple(Maybe(value) for value in values)


def mb(pages: float | None) -> float | None:
    """Pages as megabytes (2^20 bytes), to a tenth."""
    return None if pages is None else round(pages * PAGE_SIZE / 2**20, 1)


def seconds(age: float | None) -> int | None:
    """An age in whole seconds."""
    return None if age is None else round(age)


def moment(at: float | None) -> str | None:
    """Seconds since the epoch as people write them, in UTC."""
    if at is None:
        return None
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )


def add_max_age(parser: argparse.ArgumentParser, default: float) -> None:
    """The option that says what counts as stale."""
    parser.add_argument(
        "--max-age",
        metavar="SECONDS",
        type=positive_number,
        default=default,
        help="what is older counts as stale (default: %(default)g)",
    )
