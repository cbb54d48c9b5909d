# SPDX-License-Identifier: Apache-2.0
"""``membuddies plan``: a plan for a scenario, or for the cloud as it is known.

It only shows the plan. What may run is planned by the rebalancer.
"""

import argparse
import dataclasses
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from membuddies_nova import exceptions, plan, planner
from membuddies_nova.cli import argument, plan_file, scenario
from membuddies_nova.cli.report import ReportCommand, aligned
from membuddies_nova.cluster import Scope
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.plan import Goal
from membuddies_nova.planner.planning import STRATEGIES

_EVALUATIONS_PER_SECOND = 400_000
"""Gains that one core evaluates (measured) in a cloud of ``_SMALL`` guests or fewer;
in a larger one so many more as there are more guests, as they are evaluated together.
Turns a budget into work."""

_SMALL = 1000


class Plan(ReportCommand):
    """Plan migrations for a scenario file, or for the cloud in the database."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--scenario",
            metavar="FILE",
            type=pathlib.Path,
            help="JSON file that describes hosts and guests; without it the "
            "inventory and the fingerprints in the database are planned for",
        )
        parser.add_argument(
            "--strategy",
            choices=STRATEGIES,
            default="union",
            help="union (the default), or original: the published rule, a reference "
            "that is never run",
        )
        parser.add_argument(
            "--goal",
            choices=[goal.value for goal in Goal],
            default=Goal.SHARE.value,
            help="free memory, free hosts, or help hosts under memory pressure "
            "(default %(default)s)",
        )
        parser.add_argument(
            "--max-moves",
            type=argument.whole_number(0, 2**31),
            help="moves of the plan at most; without it all of a scenario that help, "
            "or what [rebalancer] max_moves_per_plan allows",
        )
        parser.add_argument(
            "--shift",
            type=argument.SHIFT,
            help="sample one of 2^SHIFT pages of page lists; without it all are "
            "taken, up to 20 million ids together",
        )
        parser.add_argument(
            "--scope",
            choices=[scope.value for scope in Scope],
            default=Scope.PROJECT.value,
            help="how far sharing counts (default %(default)s)",
        )
        parser.add_argument(
            "--budget",
            metavar="SECONDS",
            type=argument.positive_number,
            help="stop searching after about this much work",
        )
        parser.add_argument(
            "--zero-id",
            type=argument.ZERO_ID,
            help="what the page lists have for a page of zeros",
        )
        parser.add_argument(
            "--explain",
            action="store_true",
            help="say for each guest why it moves or stays",
        )
        parser.add_argument(
            "--check",
            metavar="PLAN",
            type=pathlib.Path,
            help="make no plan: read one that this command wrote with -f json, and say "
            "which of its moves are still allowed",
        )
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> dict[str, Any]:
        if parsed_args.explain and parsed_args.strategy != "union":
            raise exceptions.InputError(
                "--explain: only plans of the strategy union can be explained"
            )
        started = time.monotonic()
        if parsed_args.scenario is None:
            snapshot, limits = self._cloud(parsed_args)
        else:
            snapshot, limits = _scenario(parsed_args)
        if parsed_args.check is not None:
            return _checked(snapshot, plan_file.read_plan(parsed_args.check), limits)
        loaded = time.monotonic()
        planned = planner.plan(
            snapshot,
            goal=Goal(parsed_args.goal),
            strategy=parsed_args.strategy,
            scope=Scope(parsed_args.scope),
            limits=limits,
            evaluations=_evaluations(parsed_args.budget, len(snapshot.guests)),
        )
        seconds = time.monotonic() - loaded
        answer = {
            "strategy": planned.strategy,
            "shift": planned.shift,
            "load_seconds": round(loaded - started, 3),
            "seconds": round(seconds, 3),
        }
        answer |= planned.to_json()
        if parsed_args.explain:
            answer["explanations"] = [
                each.to_json() for each in planner.explain(snapshot, planned, limits)
            ]
        return answer

    def rendered(self, answer: Mapping[str, Any]) -> str:
        return rendered_plan(answer) if "before" in answer else _rendered_check(answer)

    def _cloud(
        self, parsed_args: argparse.Namespace
    ) -> tuple[ClusterSnapshot, planner.Limits]:
        """The cloud in the database, with the rebalancer's thresholds.

        :raises StaleInventoryError: if the inventory is older than the rebalancer
            would accept
        """
        # Not at the top: a scenario needs neither database nor configuration.
        from membuddies_nova.conf import rebalancer as options
        from membuddies_nova.rebalancer import planning

        if parsed_args.zero_id is not None:
            raise exceptions.InputError(
                "--zero-id: only the page lists of a --scenario can have another one"
            )
        options.register(self.app.conf)
        group = self.app.conf[options.GROUP]
        now = time.time()
        limits = planning.limits_of(group)
        if parsed_args.max_moves is not None:
            limits = dataclasses.replace(limits, max_moves=parsed_args.max_moves)
        with self.app.database.reader() as session:
            planning.require_inventory(session, now, group.inventory_max_age_seconds)
            snapshot = planning.snapshot(session, limits, now)
        return snapshot.thinned(parsed_args.shift or 0), limits


def _evaluations(seconds: float | None, guests: int) -> int | None:
    """A time as work, None for as much as it takes."""
    if seconds is None:
        return None
    return int(seconds * _EVALUATIONS_PER_SECOND * max(guests / _SMALL, 1.0))


def _scenario(
    parsed_args: argparse.Namespace,
) -> tuple[ClusterSnapshot, planner.Limits]:
    snapshot = scenario.read_scenario(parsed_args.scenario).snapshot(
        parsed_args.shift, parsed_args.zero_id
    )
    return snapshot, planner.Limits(max_moves=parsed_args.max_moves)


def _checked(
    snapshot: ClusterSnapshot, planned: plan.Plan, limits: planner.Limits
) -> dict[str, Any]:
    """Which moves of an earlier plan are still allowed."""
    judged = planner.judge(snapshot, planned, limits)
    allowed = sum(each.stopped_by is None for each in judged)
    return {
        "verdict": "move" if allowed else "stay",
        "why": f"{allowed} of {len(judged)} moves are still allowed",
        "moves": [each.to_json() for each in judged],
    }


def _rendered_check(answer: Mapping[str, Any]) -> str:
    return "\n\n".join(
        [
            f"Verdict: {answer['verdict']}. {answer['why']}.",
            aligned(
                ("guest", "to", "stopped by", "why"),
                [tuple(move.values()) for move in answer["moves"]],
            ),
        ]
    )


def rendered_plan(answer: Mapping[str, Any]) -> str:
    """A plan as people read it, from the keys of its JSON."""
    before, after = answer["before"], answer["after"]
    parts = [
        f"Verdict: {answer['verdict']}. {answer['why']}.",
        aligned(
            ("host", "MB before", "MB after", "guests before", "guests after"),
            [
                (
                    host,
                    use["mb"],
                    after[host]["mb"],
                    len(use["guests"]),
                    len(after[host]["guests"]),
                )
                for host, use in before.items()
            ],
        ),
        f"Together {answer['before_mb']:.1f} MB before, {answer['after_mb']:.1f} MB "
        f"after: {answer['saved_mb']:.1f} MB saved (strategy {answer['strategy']}, "
        f"goal {answer['goal']}, scope {answer['scope']}).",
    ]
    if answer["moves"]:
        parts.append(
            aligned(
                ("wave", "guest", "from", "to", "gain MB", "+-", "copy MB", "reason"),
                [tuple(move.values())[:8] for move in answer["moves"]],
            )
        )
    if answer["hosts_freed"]:
        parts.append(f"Hosts freed: {', '.join(answer['hosts_freed'])}.")
    if answer["unplaced"]:
        parts.append(
            aligned(
                ("unplaced", "reason"),
                [tuple(guest.values()) for guest in answer["unplaced"]],
            )
        )
    if "explanations" in answer:
        parts.append(
            aligned(
                ("guest", "host", "zero", "self", "inter", "why"),
                [
                    (
                        each["guest"],
                        each["host"],
                        each["zero_pages"],
                        each["self_shared_pages"],
                        each["inter_shared_pages"],
                        each["sentence"],
                    )
                    for each in answer["explanations"]
                ],
            )
        )
    return "\n\n".join(parts)
