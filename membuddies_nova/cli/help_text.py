# SPDX-License-Identifier: Apache-2.0
"""Help as it is written: a command's docstring, with its example on a line."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cliff.command import Command as _Command
else:
    _Command = object


class WrittenHelp(_Command):
    """For a command, before cliff's class: its docstring is not wrapped anew."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        return parser
