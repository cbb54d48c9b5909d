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


class Missing(FormattableColumn[None]):
    """No value: a dash for people, null for programs, before all in order."""

    def __init__(self) -> None:
        super().__init__(None)

    def __lt__(self, other: object) -> bool:
        return not isinstance(other, Missing)

    def __gt__(self, other: object) -> bool:
        return False

    def human_readable(self) -> str:
        return "-"


class Records(FormattableColumn[Any]):
    """A list of records: a small table for people."""

    def human_readable(self) -> str:
        records: Sequence[Mapping[str, object]] = self._value
        if not records:
            return "-"
        return aligned(
            tuple(records[0]), [tuple(record.values()) for record in records]
        )


def row(values: Iterable[object]) -> tuple[object, ...]:
    """A row of which any value may be None."""
    return tuple(Missing() if value is None else value for value in values)


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
