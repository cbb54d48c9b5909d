# SPDX-License-Identifier: Apache-2.0
"""``membuddies``: what all commands have in common.

Options that every command takes, the configuration and the database for those
that need them, and one way for all to fail: one line on standard error, and exit
status 2 for a wrong call or input file, else 1. It decides nothing itself.
"""

import argparse
import functools
import importlib.metadata
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import cliff.app
import cliff.commandmanager

from membuddies_nova import exceptions

if TYPE_CHECKING:
    from oslo_config import cfg

    from membuddies_nova.db.api import Database

FAILED = 1
WRONG_CALL = 2
INTERRUPTED = 130
BROKEN_PIPE = 141


class Commands(cliff.commandmanager.CommandManager):
    """The commands of an entry-point group, each imported when it is run."""

    def load_commands(self, namespace: str) -> None:
        self.group_list.append(namespace)
        for entry in importlib.metadata.entry_points(group=namespace):
            self.commands[entry.name.replace("_", " ")] = entry


class App(cliff.app.App):
    """A program with commands.

    :param name: of the program
    :param description: in one line
    :param namespace: entry-point group of its commands
    """

    # Warnings only: what a command has to say it prints.
    DEFAULT_VERBOSE_LEVEL = 0

    def __init__(self, name: str, description: str, namespace: str) -> None:
        self.NAME = name
        version = importlib.metadata.version("membuddies-nova")
        super().__init__(description, version, Commands(namespace), deferred_help=True)

    @functools.cached_property
    def conf(self) -> "cfg.ConfigOpts":
        """The configuration files, read; a command registers the groups it needs.

        :raises InputError: for a file that is missing or cannot be read
        """
        from oslo_config import cfg

        conf = cfg.ConfigOpts()
        try:
            conf([], project="membuddies", default_config_files=self._config_files())
        except cfg.Error as error:
            raise exceptions.InputError(_line(error)) from error
        return conf

    @functools.cached_property
    def database(self) -> "Database":
        """The database that ``[database] connection`` names."""
        from membuddies_nova.db.api import Database

        return Database(self.conf)

    def build_option_parser(
        self,
        description: str | None,
        version: str | None,
        argparse_kwargs: dict[str, Any] | None = None,
    ) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().build_option_parser(
            description, version, argparse_kwargs
        )
        parser.prog = self.NAME
        parser.error = functools.partial(_refuse, parser)  # type: ignore[method-assign]
        for action in parser._actions:
            if action.dest == "version":
                action.version = f"{self.NAME} {version}"  # type: ignore[attr-defined]
        parser.add_argument(
            "--config-file",
            metavar="FILE",
            action="append",
            help="Configuration to read instead of /etc/membuddies/membuddies.conf. "
            "Can be repeated.",
        )
        return parser

    def interact(self) -> None:
        """Without a command: tell which there are."""
        self.options.deferred_help = True
        self.print_help_if_requested()

    def run_subcommand(self, argv: list[str]) -> int:
        """Find a command, run it, and turn what it raises into an exit status."""
        try:
            factory, name, arguments = self.command_manager.find_command(argv)
        except ValueError:
            return self._fail(
                exceptions.InputError(
                    f"{' '.join(argv)!r} is no command; `{self.NAME} --help` lists them"
                )
            )
        except ImportError as error:
            return self._fail(
                exceptions.MembuddiesError(
                    f"`{' '.join(argv)}` needs what is not installed here ({error}); "
                    f"install membuddies-nova[cli]"
                )
            )
        try:
            command = factory(self, self.options, cmd_name=name)
            parser = command.get_parser(f"{self.NAME} {name}")
            parser.error = functools.partial(_refuse, parser)
            return int(command.run(parser.parse_args(arguments)))
        except (BrokenPipeError, KeyboardInterrupt):
            raise
        except Exception as error:  # noqa: BLE001  no traceback reaches a user
            return self._fail(error)

    def _config_files(self) -> list[str] | None:
        """The files asked for; None for oslo.config's own search."""
        files: list[str] | None = self.options.config_file
        for path in files or ():
            if not os.path.isfile(path):
                raise exceptions.InputError(f"--config-file {path}: no such file")
        return files

    def _fail(self, error: Exception) -> int:
        """Say in one line what went wrong."""
        if self.options.debug:
            traceback.print_exception(error, file=self.stderr)
        text = _line(error)
        if not isinstance(error, exceptions.MembuddiesError):
            text = f"{type(error).__name__}: {text} (--debug tells where)"
        self.stderr.write(f"{self.NAME}: {text}\n")
        return WRONG_CALL if isinstance(error, exceptions.InputError) else FAILED


def run(app: App, argv: Sequence[str] | None = None) -> int:
    """Run a program; an interrupt or a closed pipe ends it without a word.

    :param argv: without the program's name; None for the process's own
    """
    if not sys.warnoptions:
        # Deprecations inside of libraries tell an operator nothing.
        warnings.simplefilter("ignore")
    try:
        status = app.run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        status = BROKEN_PIPE
    if status == BROKEN_PIPE:
        # Python would try to write the rest when it ends, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point of ``membuddies``."""
    return run(
        App(
            "membuddies",
            "Place and move Nova guests where their memory pages merge.",
            "membuddies.cli",
        ),
        argv,
    )


def _refuse(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    """End with one line, where argparse would print the usage before it."""
    parser.exit(
        WRONG_CALL,
        f"{parser.prog}: {' '.join(message.split())} (see {parser.prog} --help)\n",
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
