# SPDX-License-Identifier: Apache-2.0
"""``membuddies plan list``, ``show``, ``approve`` and ``cancel``.

For the plans that the rebalancer stored. The command changes their state in the
database and nothing else: what runs, runs in the rebalancer.
"""

import argparse
import getpass
import time
from collections.abc import Iterable, Mapping
from typing import Any

from cliff.command import Command
from cliff.lister import Lister
from sqlalchemy.orm import Session

from membuddies_nova import exceptions
from membuddies_nova.cli import argument, column
from membuddies_nova.cli.help_text import WrittenHelp
from membuddies_nova.cli.plan import rendered_plan
from membuddies_nova.cli.report import ReportCommand, aligned
from membuddies_nova.db import inventory, moves, plans
from membuddies_nova.db.plans import PlanRecord


class PlanList(WrittenHelp, Lister):
    """List the plans that the rebalancer made, the newest first.

    state is observed (it only shows what would be done), proposed (it waits for
    `membuddies plan approve`), approved, running, done, failed, expired or cancelled.

    Example:

        $ membuddies plan list --limit 5
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--limit",
            metavar="N",
            type=argument.whole_number(1, 100_000),
            default=20,
            help="how many plans at most (default: %(default)s)",
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]:
        with self.app.database.reader() as session:
            records = plans.list_plans(session, parsed_args.limit)
        columns = (
            "id",
            "created_at",
            "state",
            "mode",
            "goal",
            "scope",
            "verdict",
            "moves",
            "saved_mb",
            "why",
        )
        return columns, [
            (
                record.id,
                column.moment(record.created_at),
                record.state,
                record.mode,
                record.plan.goal.value,
                record.plan.scope,
                record.plan.verdict.value,
                len(record.plan.moves),
                round(record.plan.saved_mb, 1),
                record.plan.why,
            )
            for record in records
        ]


class PlanShow(ReportCommand):
    """Show a stored plan: each move with its reason, gain and state.

    Example:

        $ membuddies plan show 3a1e0a1c-7d52-4a70-9a41-0f6d3c1d7c11
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        _add_id(parser)
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> dict[str, Any]:
        now = time.time()
        with self.app.database.reader() as session:
            record = _get(session, parsed_args.id)
            states = {
                (move.move.wave, move.move.guest): move
                for move in moves.of_plan(session, record.id)
            }
            names = {guest.uuid: guest.name for guest in inventory.guests(session, now)}
        plan = record.plan.to_json()
        for move in plan["moves"]:
            move["guest_name"] = names.get(move["guest"])
            state = states.get((move["wave"], move["guest"]))
            move["state"] = state and state.state
            move["detail"] = state and state.detail
            move["migration_id"] = state and state.migration_id
            move["finished_at"] = column.moment(state.finished_at if state else None)
        return {
            "id": record.id,
            "state": record.state,
            "mode": record.mode,
            "created_at": column.moment(record.created_at),
            "expires_at": column.moment(record.expires_at),
            "ended_at": column.moment(record.ended_at),
            "approved_by": record.approved_by,
            "detail": record.detail,
            "saved_mb_global": record.saved_mb_global,
            **plan,
        }

    def rendered(self, answer: Mapping[str, Any]) -> str:
        about = f"Plan {answer['id']}: {answer['state']}"
        if answer["detail"]:
            about += f" ({answer['detail']})"
        about += f". Made {answer['created_at']} in mode {answer['mode']}"
        if answer["approved_by"]:
            about += f", approved by {answer['approved_by']}"
        elif answer["expires_at"] and answer["state"] == "proposed":
            about += f", to be approved until {answer['expires_at']}"
        parts = [f"{about}.", rendered_plan(answer)]
        if answer["moves"]:
            columns = ("guest_name", "guest", "state", "migration_id", "detail")
            parts.append(
                aligned(
                    columns,
                    [[move[name] for name in columns] for move in answer["moves"]],
                )
            )
        return "\n\n".join(parts)


class PlanApprove(WrittenHelp, Command):
    """Let the rebalancer run a proposed plan.

    Each move is checked again against Nova before it starts. Plans expire.

    Example:

        $ membuddies plan approve 3a1e0a1c-7d52-4a70-9a41-0f6d3c1d7c11
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        _add_id(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        by, now = getpass.getuser(), time.time()

        def approve(session: Session) -> None:
            record = _get(session, parsed_args.id)
            if not plans.approve(session, record.id, by=by, now=now):
                raise exceptions.MembuddiesError(_not_approvable(record, now))

        self.app.database.write(approve)
        self.app.stdout.write(f"Plan {parsed_args.id} is approved.\n")


class PlanCancel(WrittenHelp, Command):
    """End a plan: none of its moves starts any more.

    Migrations under way go on to their end, unless --abort asks Nova to abort them.
    Nova 2026.1 and later leave an aborted guest in ERROR, although it runs on:
    `openstack server set --state active` puts that right.

    Example:

        $ membuddies plan cancel --abort 3a1e0a1c-7d52-4a70-9a41-0f6d3c1d7c11
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        _add_id(parser)
        parser.add_argument(
            "--abort", action="store_true", help="abort its migrations under way, too"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        now = time.time()

        def cancel(session: Session) -> None:
            record = _get(session, parsed_args.id)
            if not plans.cancel(session, record.id, abort=parsed_args.abort, now=now):
                raise exceptions.MembuddiesError(
                    f"plan {record.id} is {record.state} already: there is nothing "
                    f"to cancel"
                )

        self.app.database.write(cancel)
        self.app.stdout.write(f"Plan {parsed_args.id} is cancelled.\n")


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="of `membuddies plan list`")


def _get(session: Session, plan_id: str) -> PlanRecord:
    """The plan with that id.

    :raises InputError: if there is none
    """
    record = plans.get(session, plan_id)
    if record is None:
        raise exceptions.InputError(
            f"no plan has the id {plan_id!r}; `membuddies plan list` names them"
        )
    return record


def _not_approvable(record: PlanRecord, now: float) -> str:
    """Why a plan cannot be approved."""
    if record.state == "observed":
        return (
            f"plan {record.id} was made in mode observe, which never moves anything; "
            f"set [rebalancer] mode = recommend"
        )
    if record.state == "proposed":
        return (
            f"plan {record.id} expired at {column.moment(record.expires_at)}; "
            f"approve a newer one"
        )
    return f"plan {record.id} is {record.state}: only a proposed plan can be approved"
