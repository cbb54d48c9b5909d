# SPDX-License-Identifier: Apache-2.0
"""``membuddies host``: what each host's memory holds and what KSM makes of it."""

import argparse
import time
from collections.abc import Iterable, Iterator
from typing import Any

from cliff.lister import Lister
from sqlalchemy.orm import Session

from membuddies_nova.cli import column
from membuddies_nova.cli.help_text import WrittenHelp
from membuddies_nova.cli.known_cloud import KnownCloud
from membuddies_nova.cli.sizes import MB_COLUMNS, PAGES_COLUMNS, Sizes
from membuddies_nova.db.inventory import REPORT_AGE_LIMIT_SECONDS
from membuddies_nova.facts import KsmFacts


class HostList(WrittenHelp, Lister):
    """List hosts: what is in their memory, and what KSM merges now.

    unique_mb is what the guests need after perfect merging. zero_mb and
    self_shared_mb merge wherever a guest runs; inter_shared_mb is what guests save
    by being together, as the kernel counts (KSM knows no tenants), and
    in_project_mb the part of it between guests of one project, which is what
    decisions count by default. ksm_merged_mb is what KSM has merged at this moment
    (pages_sharing). A guest without a fingerprint counts with its whole memory.
    age_seconds is since the agent reported.

    Example:

        $ membuddies host list -c host -c guests -c unique_mb -c ksm_merged_mb
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--long", action="store_true", help="sizes in pages, too, and more of KSM"
        )
        column.add_max_age(parser, REPORT_AGE_LIMIT_SECONDS)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]:
        columns = [
            "host",
            "guests",
            "no_fingerprint",
            "memory_mb",
            *MB_COLUMNS,
            "ksm",
            "ksm_merged_mb",
            "smart_scan",
            "age_seconds",
            "stale",
        ]
        if parsed_args.long:
            columns += [
                *PAGES_COLUMNS,
                "pages_sharing",
                "pages_to_scan",
                "sleep_millisecs",
                "full_scans",
                "enabled",
                "up",
            ]
        with self.app.database.reader() as session:
            records = list(_records(session, time.time(), parsed_args.max_age))
        return tuple(columns), [
            column.row(record[name] for name in columns) for record in records
        ]


def _records(session: Session, now: float, max_age: float) -> Iterator[dict[str, Any]]:
    known = KnownCloud.read(session, now)
    for host, snapshot in known.by_host(session):
        age = known.report_age_seconds(host.name)
        report = known.reports.get(host.name)
        ksm = KsmFacts() if report is None else report.facts.ksm
        yield {
            "host": host.name,
            "guests": len(snapshot.guests),
            "no_fingerprint": len(snapshot.guests) - len(snapshot.samples),
            "memory_mb": host.memory_mb,
            **Sizes(snapshot).of_host(),
            "ksm": host.ksm.value,
            "ksm_merged_mb": column.mb(ksm.pages_sharing),
            "smart_scan": None if ksm.smart_scan is None else bool(ksm.smart_scan),
            "age_seconds": column.seconds(age),
            "stale": age is None or age > max_age,
            "pages_sharing": ksm.pages_sharing,
            "pages_to_scan": ksm.pages_to_scan,
            "sleep_millisecs": ksm.sleep_millisecs,
            "full_scans": ksm.full_scans,
            "enabled": host.enabled,
            "up": host.up,
        }
