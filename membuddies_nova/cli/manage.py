# SPDX-License-Identifier: Apache-2.0
"""``membuddies-manage``: the database's own care, for who installs and upgrades."""

import argparse
import dataclasses
import time
from collections.abc import Sequence

from cliff.command import Command
from cliff.show import ShowOne

from membuddies_nova.cli.app import App, run
from membuddies_nova.cli.argument import positive_number
from membuddies_nova.cli.help_text import WrittenHelp
from membuddies_nova.db import purge, schema

_DAY_SECONDS = 86_400


class Upgrade(WrittenHelp, Command):
    """Create the tables, or change them to what this release expects.

    Run it before the first start and after each upgrade. Running it again does
    nothing.

    Example:

        $ membuddies-manage db upgrade
    """

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        before = schema.version(self.app.database)
        schema.upgrade(self.app.database)
        after = schema.version(self.app.database)
        self.app.stdout.write(
            f"{self.app.database.url}: at revision {after} already\n"
            if before == after
            else f"{self.app.database.url}: from revision {before} to {after}\n"
        )


class Version(WrittenHelp, ShowOne):
    """Show the revision that the tables are at, and the one this release expects.

    Example:

        $ membuddies-manage db version -f value -c version
    """

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
        return ("version", "expected"), (
            schema.version(self.app.database),
            schema.head(),
        )


class Purge(WrittenHelp, ShowOne):
    """Remove ended plans, and what is kept of guests and hosts that are gone.

    Shows how many rows of each kind were removed. Nothing is removed of a guest or
    host that Nova has.

    Example:

        $ membuddies-manage db purge --older-than 7
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--older-than",
            metavar="DAYS",
            type=positive_number,
            default=30.0,
            help="keep what is younger (default: %(default)g)",
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[int, ...]]:
        before = time.time() - parsed_args.older_than * _DAY_SECONDS
        purged = self.app.database.write(lambda session: purge.purge(session, before))
        counts = dataclasses.asdict(purged)
        return tuple(counts), tuple(counts.values())


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point of ``membuddies-manage``."""
    return run(
        App(
            "membuddies-manage",
            "Care for the database of Memory Buddies.",
            "membuddies.manage",
        ),
        argv,
    )
