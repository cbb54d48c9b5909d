# SPDX-License-Identifier: Apache-2.0
"""``membuddies capacity``: how many waiting guests of a scenario fit.

It compares policies of placement; it places nothing and knows no cloud.
"""

import argparse
import pathlib
from collections.abc import Mapping
from typing import Any

from membuddies_nova import exceptions
from membuddies_nova.cli import argument, scenario
from membuddies_nova.cli.report import ReportCommand, aligned
from membuddies_nova.planner.capacity import POLICIES, fill


class Capacity(ReportCommand):
    """Fill a scenario's hosts with its waiting guests, as a policy would."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--scenario",
            metavar="FILE",
            type=pathlib.Path,
            required=True,
            help="JSON file that describes hosts and guests",
        )
        parser.add_argument(
            "--policy",
            choices=tuple(POLICIES),
            required=True,
            help="who chooses the host: most sharing with all guests there beyond "
            "what others would share there (union), the published expected sharing "
            "(original), the first that fits (first-fit), Nova's RAM weigher "
            "(ram-spread), or its image properties weigher (image)",
        )
        parser.add_argument(
            "--shift",
            type=argument.SHIFT,
            help="sample one of 2^SHIFT pages of page lists; without it all are "
            "taken, up to 20 million ids together",
        )
        parser.add_argument(
            "--zero-id",
            type=argument.ZERO_ID,
            help="what the page lists have for a page of zeros",
        )
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> dict[str, Any]:
        snapshot = scenario.read_scenario(parsed_args.scenario).snapshot(
            parsed_args.shift, parsed_args.zero_id
        )
        try:
            return fill(snapshot, parsed_args.policy).to_json()
        except exceptions.IncompatibleFingerprintsError as error:
            raise exceptions.InputError(f"{parsed_args.scenario}: {error}") from None

    def rendered(self, answer: Mapping[str, Any]) -> str:
        rows = [
            (host, use["mb"], len(use["guests"]))
            for host, use in answer["hosts"].items()
        ]
        return (
            f"{answer['placed']} guests placed (policy {answer['policy']}).\n\n"
            f"{aligned(('host', 'MB', 'guests'), rows)}"
        )
