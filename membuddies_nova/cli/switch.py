# SPDX-License-Identifier: Apache-2.0
"""``membuddies pause`` and ``resume``: whether any move may start."""

import argparse
import getpass
import time

from cliff.command import Command

from membuddies_nova.cli.help_text import WrittenHelp
from membuddies_nova.db import switches


class Pause(WrittenHelp, Command):
    """Let no move start until `membuddies resume`.

    Migrations under way go on to their end. Plans are still computed.

    Example:

        $ membuddies pause --reason "storage maintenance until noon"
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--reason", default="", help="what others shall read in `membuddies status`"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        by, now = getpass.getuser(), time.time()
        self.app.database.write(
            lambda session: switches.pause(session, by, parsed_args.reason, now)
        )
        self.app.stdout.write("Paused: no move starts.\n")


class Resume(WrittenHelp, Command):
    """Let moves start again.

    Example:

        $ membuddies resume
    """

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        was_paused = self.app.database.write(switches.resume)
        self.app.stdout.write(
            "Resumed: moves may start.\n" if was_paused else "It was not paused.\n"
        )
