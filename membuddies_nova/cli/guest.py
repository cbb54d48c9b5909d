# SPDX-License-Identifier: Apache-2.0
"""``membuddies guest``: what each guest's memory holds, and who its kin are."""

import argparse
import time
from collections.abc import Iterable, Iterator
from typing import Any

from cliff.lister import Lister
from cliff.show import ShowOne
from sqlalchemy.orm import Session

from membuddies_nova.cli import argument, column
from membuddies_nova.cli.help_text import WrittenHelp
from membuddies_nova.cli.known_cloud import KnownCloud
from membuddies_nova.cli.sizes import MB_COLUMNS, PAGES_COLUMNS, Sizes
from membuddies_nova.cluster import Guest, Scope
from membuddies_nova.model.sharing import SharingModel
from membuddies_nova.model.snapshot import ClusterSnapshot


class GuestList(WrittenHelp, Lister):
    """List guests: what is in their memory, and what they share on their host.

    inter_shared_mb is what a guest's unique pages have in common with the other
    guests of its host, as the kernel counts (KSM knows no tenants), and
    in_project_mb the same with guests of its project alone. reason tells why a guest
    has no fingerprint. --fit-width folds the table to the terminal.

    Example:

        $ membuddies guest list --host compute-17
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--host", help="only the guests on this host")
        parser.add_argument(
            "--project", metavar="ID", help="only the guests of this project"
        )
        parser.add_argument("--long", action="store_true", help="sizes in pages, too")
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]:
        columns = [
            "uuid",
            "name",
            "host",
            "project",
            "image",
            "status",
            "memory_mb",
            *MB_COLUMNS,
            "scan_age_seconds",
            "reason",
        ]
        if parsed_args.long:
            columns += ["resident_pages", *PAGES_COLUMNS]
        with self.app.database.reader() as session:
            known = KnownCloud.read(session, time.time())
            rows = [
                column.row(record.get(name) for name in columns)
                for record in _records(session, known, parsed_args.host)
                if parsed_args.project in (None, record["project"])
            ]
        return tuple(columns), rows


class GuestShow(WrittenHelp, ShowOne):
    """Show one guest: its memory, its fingerprint, and its kin.

    kin are the guests of the whole cloud that it shares most pages with; --scope
    says among whom they are looked for. change_fraction_per_hour is how often a stable
    page of it changes in an hour, on average: 0.05 is one in twenty pages.

    Example:

        $ membuddies guest show web-1 --scope global
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "guest", metavar="GUEST", help="uuid, or a name that is unique"
        )
        parser.add_argument(
            "--scope",
            choices=[scope.value for scope in Scope],
            default=Scope.PROJECT.value,
            help="how far sharing with kin counts (default: %(default)s)",
        )
        parser.add_argument(
            "--kin",
            metavar="N",
            type=argument.whole_number(0, 1000),
            default=5,
            help="how many kin to show (default: %(default)s)",
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        with self.app.database.reader() as session:
            known = KnownCloud.read(session, time.time())
            guest = known.named(parsed_args.guest)
            kin = _kin(session, known, guest, Scope(parsed_args.scope), parsed_args.kin)
            snapshot = known.snapshot(session, known.guests_on(guest.host or ""))
        sample = snapshot.samples.get(guest.uuid)
        summary = known.summaries.get(guest.uuid)
        told = known.told_of(guest)
        sizes = dict.fromkeys(("resident_pages", *PAGES_COLUMNS, *MB_COLUMNS))
        answer = {
            **_record(known, guest, snapshot),
            **sizes,
            **Sizes(snapshot).of_guest(guest.uuid),
            "flavor": guest.flavor,
            "vcpus": guest.vcpus,
            "os_distro": guest.os_distro,
            "os_version": guest.os_version,
            "task_state": guest.task_state,
            "other_host": guest.other_host,
            "locked": guest.locked,
            "movable": guest.movable,
            "server_group": guest.group and guest.group.name,
            "trust_group": guest.trust_group,
            "last_moved_seconds": column.seconds(guest.last_moved_seconds),
            "change_fraction_per_hour": told and told.change_fraction_per_hour,
            "shift": sample and sample.shift,
            "fingerprint_bytes": summary and summary.body_bytes,
            "digest": summary and summary.digest,
            "ksm_merging_pages": sample and sample.counters.ksm_merging_pages,
        }
        return (
            (*answer, "kin"),
            (*column.row(answer.values()), column.Records(kin)),
        )


def _records(
    session: Session, known: KnownCloud, host: str | None
) -> Iterator[dict[str, Any]]:
    """A record of each guest, host by host, those on no known host last."""
    shown = set()
    for each, snapshot in known.by_host(session):
        if host in (None, each.name):
            sizes = Sizes(snapshot)
            for guest in snapshot.guests:
                shown.add(guest.uuid)
                yield _record(known, guest, snapshot) | sizes.of_guest(guest.uuid)
    for guest in known.guests:
        if guest.uuid not in shown and host in (None, guest.host):
            yield _record(known, guest, None)


def _record(
    known: KnownCloud, guest: Guest, snapshot: ClusterSnapshot | None
) -> dict[str, Any]:
    """What is known of a guest, without the sizes.

    :param snapshot: of its host
    """
    reason = known.why_unknown(guest)
    if snapshot is not None and guest.uuid in snapshot.unreadable:
        reason = "its stored fingerprint is damaged"
    return {
        "uuid": guest.uuid,
        "name": guest.name,
        "host": guest.host,
        "project": guest.project,
        "image": guest.image,
        "status": guest.status,
        "memory_mb": guest.memory_mb,
        "scan_age_seconds": column.seconds(known.scan_age_seconds(guest.uuid)),
        "reason": reason,
    }


def _kin(
    session: Session, known: KnownCloud, guest: Guest, scope: Scope, limit: int
) -> list[dict[str, Any]]:
    """The guests that share most with a guest, wherever they are."""
    key = guest.scope_key(scope)
    others = [other for other in known.guests if other.scope_key(scope) == key]
    snapshot = known.snapshot(session, others)
    if guest.uuid not in snapshot.samples:
        return []
    model = SharingModel(snapshot, scope, across_keys=True)
    by_uuid = snapshot.guests_by_uuid
    return [
        {
            "guest": uuid,
            "name": by_uuid[uuid].name,
            "host": by_uuid[uuid].host,
            "shared_pages": round(shared.pages),
            "shared_mb": column.mb(shared.pages),
            "standard_error_mb": round(shared.error_mb, 1),
        }
        for uuid, shared in model.kin(guest.uuid, limit)
    ]
