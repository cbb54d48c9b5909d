# SPDX-License-Identifier: Apache-2.0
"""``membuddies explain``: how each host scores for a guest, and why."""

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any

from membuddies_nova import exceptions
from membuddies_nova.cli.argument import whole_number
from membuddies_nova.cli.known_cloud import KnownCloud
from membuddies_nova.cli.refusals import Refusals
from membuddies_nova.cli.report import ReportCommand, aligned
from membuddies_nova.cluster import Guest, Scope
from membuddies_nova.conf import controller as controller_options
from membuddies_nova.controller.board import Board
from membuddies_nova.scoreboard import codec
from membuddies_nova.scoreboard.board import Scoreboard
from membuddies_nova.scoreboard.score import Scorer, Verdict

_NOTES = (
    "Nova asks no weigher where one host is left after its filters, where a host "
    "is named, or in a rebuild.",
    "A host's score times sharing_weight_multiplier is added to what Nova's other "
    "weighers give it; aggregates may override the multiplier.",
    "nova-scheduler knows guests that were booked since the inventory was read; "
    "they are not counted here.",
    "Would refuse: what KsmIsolationFilter and MemoryPressureFilter say where "
    "nova-scheduler enables them, with the limits that [membuddies] has here.",
)

_TITLES = (
    "host",
    "score",
    "shared MB",
    "available MB",
    "booked MB",
    "why",
    "would refuse",
)


class Explain(ReportCommand):
    """Tell how SharingWeigher scores each host for a guest, and why.

    For a guest that Nova has, as if it were to move now; or for one that is not
    there yet, by its image, flavor and project. The score is the expected part of
    its memory that guests on the host hold already, 0 to 1. Also tells which of our
    filters would refuse a host if they are enabled. Computed from the database in
    this moment, as the controller does for nova-scheduler.

    Example:

        $ membuddies explain web-1
        $ membuddies explain --image 6f1a4c8e-... --flavor m1.small --project 3b1f...
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "guest",
            metavar="INSTANCE",
            nargs="?",
            help="uuid, or a name that is unique",
        )
        parser.add_argument("--image", metavar="ID", help="image of a guest to come")
        parser.add_argument(
            "--flavor",
            metavar="NAME",
            help="its flavor; one that no guest has yet needs --memory-mb",
        )
        parser.add_argument("--project", metavar="ID", help="its project")
        parser.add_argument(
            "--memory-mb",
            metavar="N",
            type=whole_number(1, 2**31 - 1),
            help="its memory, instead of what the flavor says",
        )
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> Mapping[str, Any]:
        now = time.time()
        with self.app.database.reader() as session:
            known = KnownCloud.read(session, now)
        guest = _guest(known, parsed_args)
        board = self._board(now)
        scorer = Scorer(board, guest)
        rows = [(name, scorer.judge(name, board.settled(name))) for name in board.hosts]
        refusals = Refusals(board, guest, known.hosts, self.app.conf)
        rows.sort(key=lambda row: (-row[1].score, row[0]))
        return {
            "guest": guest.uuid or None,
            "image": guest.image,
            "flavor": guest.flavor,
            "memory_mb": guest.memory_mb,
            "project": guest.project,
            "trust_scope": guest.scope_key(board.scope),
            "scored_by": _basis(scorer),
            "hosts": [
                _host(board, guest, name, verdict, refusals) for name, verdict in rows
            ],
            "notes": list(_NOTES),
        }

    def rendered(self, answer: Mapping[str, Any]) -> str:
        hosts: Sequence[Mapping[str, Any]] = answer["hosts"]
        who = answer["guest"] or "A guest to come"
        size = f"{answer['memory_mb']} MB"
        return "\n\n".join(
            (
                f"{who}: {size}, trust scope {answer['trust_scope']}, scored by "
                f"{answer['scored_by']}.",
                aligned(
                    _TITLES,
                    [
                        (
                            host["host"],
                            f"{host['score']:.3f}",
                            host["shared_mb"],
                            host["available_mb"],
                            host["booked_mb"],
                            host["why"],
                            ", ".join(host["would_refuse"]) or "nobody",
                        )
                        for host in hosts
                    ],
                )
                if hosts
                else "No host is known.",
                *_reasons(hosts),
                "\n".join(answer["notes"]),
            )
        )

    def _board(self, now: float) -> Scoreboard:
        """The board that a controller with this configuration would answer."""
        conf = self.app.conf
        controller_options.register(conf)
        group = conf[controller_options.GROUP]
        built = Board(
            self.app.database,
            scope=Scope(group.scope),
            report_age_limit_seconds=group.report_age_limit_seconds,
            full_scan_age_limit_seconds=group.full_scan_age_limit_seconds,
            forget_fingerprint_seconds=group.forget_fingerprint_seconds,
        ).current(None, now)
        assert built.body is not None, "who holds no board is sent one"
        return codec.decode(codec.decompress(built.body))


def _guest(known: KnownCloud, call: argparse.Namespace) -> Guest:
    """The guest that the call names or describes.

    :raises InputError: if it does neither, or both
    """
    described = (call.image, call.flavor, call.project)
    if call.guest is not None:
        if any(described) or call.memory_mb:
            raise exceptions.InputError(
                "name an INSTANCE, or describe one that is not there yet by --image, "
                "--flavor and --project; not both"
            )
        return known.named(call.guest)
    if not call.project or not (call.flavor or call.memory_mb):
        raise exceptions.InputError(
            "name an INSTANCE, or describe one that is not there yet by --image, "
            "--flavor and --project"
        )
    like = next((one for one in known.guests if one.flavor == call.flavor), None)
    memory_mb = call.memory_mb or (like and like.memory_mb)
    if not memory_mb:
        raise exceptions.InputError(
            f"no guest has the flavor {call.flavor!r}, so its memory is not known; "
            f"give --memory-mb"
        )
    return Guest(
        uuid="",
        name="",
        memory_mb=memory_mb,
        image=call.image,
        flavor=call.flavor,
        project=call.project,
        trust_group=None if like is None else like.trust_group,
    )


def _basis(scorer: Scorer) -> str:
    if scorer.by_fingerprint:
        return "its own fingerprint"
    if scorer.profile is None:
        return "nothing: no guest of its trust scope has a fingerprint yet"
    return f"the profile {scorer.profile}"


def _reasons(hosts: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        f"{name} would refuse {host['host']}: {why}."
        for host in hosts
        for name, why in host["would_refuse"].items()
    ]
    return ["\n".join(lines)] if lines else []


def _host(
    board: Scoreboard,
    guest: Guest,
    name: str,
    verdict: Verdict,
    refusals: Refusals,
) -> dict[str, Any]:
    line = board.host(name)
    assert line is not None, "a host of the board is on the board"
    return {
        "host": name,
        "here": guest.host == name,
        "score": round(verdict.score, 4),
        "shared_mb": round(verdict.shared_mb, 1),
        "ksm": line.ksm.value,
        "available_mb": line.available_mb,
        "booked_mb": verdict.booked_mb,
        "finding": verdict.finding.value,
        "why": verdict.finding.sentence,
        "would_refuse": refusals.of(name),
    }
