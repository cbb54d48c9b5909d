# SPDX-License-Identifier: Apache-2.0
"""``membuddies status``: whether all parts live and their data is fresh."""

import argparse
import time
from collections.abc import Iterator, Mapping
from typing import Any

from membuddies_nova.cli import column
from membuddies_nova.cli.app import FAILED
from membuddies_nova.cli.known_cloud import KnownCloud
from membuddies_nova.cli.report import ReportCommand, aligned
from membuddies_nova.cluster import KsmState
from membuddies_nova.db import services, switches
from membuddies_nova.db.inventory import REPORT_AGE_LIMIT_SECONDS
from membuddies_nova.db.services import ServiceBeat
from membuddies_nova.db.switches import Pause

_AGENT = "membuddies-agent"
_CONTROLLER = "membuddies-controller"
_REBALANCER = "membuddies-rebalancer"
_NAMED = 10
_DROPPED = ("forged", "unknown-key", "replayed", "foreign")
"""What controllers count of agents' messages that they did not believe."""


class Status(ReportCommand):
    """Show each service's age, the inventory's age, and hosts that need a look.

    The exit status is 1 if anything is stale: the inventory, a service, or the agent
    of a host that is up. A service that was taken out of use is forgotten by
    `membuddies-manage db purge`.

    Example:

        $ membuddies status -f json | jq .stale_hosts
    """

    _stale = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        column.add_max_age(parser, REPORT_AGE_LIMIT_SECONDS)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        status = super().run(parsed_args)
        return FAILED if self._stale else int(status)

    def answer(self, parsed_args: argparse.Namespace) -> dict[str, Any]:
        with self.app.database.reader() as session:
            known = KnownCloud.read(session, time.time())
            beats = services.all(session)
            pause = switches.paused(session)
        answer = _answer(known, beats, pause, parsed_args.max_age)
        self._stale = answer["stale"]
        return answer

    def rendered(self, answer: Mapping[str, Any]) -> str:
        return "\n\n".join(_parts(answer))


def _answer(
    known: KnownCloud, beats: list[ServiceBeat], pause: Pause | None, max_age: float
) -> dict[str, Any]:
    def is_stale(age: float | None) -> bool:
        return age is None or age > max_age

    lives = [
        {
            "binary": beat.binary,
            "host": beat.host,
            "age_seconds": column.seconds(known.now - beat.beat_at),
            "stale": is_stale(known.now - beat.beat_at),
        }
        for beat in beats
    ]
    agents = [
        {
            "binary": _AGENT,
            "host": host.name,
            "age_seconds": column.seconds(known.report_age_seconds(host.name)),
            "stale": is_stale(known.report_age_seconds(host.name)),
        }
        for host in known.hosts
    ]
    stale_hosts = [
        host.name
        for host, agent in zip(known.hosts, agents, strict=True)
        if agent["stale"] and host.up
    ]
    inventory_stale = is_stale(known.inventory_age_seconds)
    return {
        "stale": inventory_stale
        or bool(stale_hosts)
        or any(service["stale"] for service in lives),
        "mode": _mode(beats, known.now - max_age),
        "paused": pause is not None,
        "paused_by": pause and pause.by,
        "paused_at": column.moment(pause.paused_at) if pause else None,
        "pause_reason": pause and pause.reason,
        "inventory_age_seconds": column.seconds(known.inventory_age_seconds),
        "inventory_stale": inventory_stale,
        "inventory_error": known.inventory.error,
        "inventory_attempted_at": column.moment(known.inventory.attempted_at),
        "hosts": len(known.hosts),
        "guests": len(known.guests),
        "fingerprints": len(known.summaries),
        "services": lives + agents,
        "stale_hosts": stale_hosts,
        "down_hosts": [host.name for host in known.hosts if not host.up],
        "not_merging_hosts": [
            {"host": host.name, "ksm": host.ksm.value}
            for host in known.hosts
            if host.ksm is not KsmState.MERGING
        ],
        "mixed_hosts": list(_mixed(known)),
        "smart_scan_hosts": [
            host.name
            for host in known.hosts
            if (report := known.reports.get(host.name)) is not None
            and report.facts.ksm.smart_scan
        ],
        "keys": _keys(known),
        "dropped_messages": _dropped(beats, known.now - max_age),
    }


def _mixed(known: KnownCloud) -> Iterator[dict[str, Any]]:
    """Hosts that merge, or may, with guests of several trust scopes."""
    for host in known.hosts:
        scopes = sorted({guest.trust_key for guest in known.guests_on(host.name)})
        if len(scopes) > 1 and host.may_merge:
            yield {"host": host.name, "ksm": host.ksm.value, "trust_scopes": scopes}


def _keys(known: KnownCloud) -> dict[str, list[str]]:
    """Which hosts' agents work under which key, by its id."""
    keys: dict[str, list[str]] = {}
    for host in known.hosts:
        report = known.reports.get(host.name)
        if report is not None:
            keys.setdefault(report.key_id, []).append(host.name)
    return keys


def _dropped(beats: list[ServiceBeat], since: float) -> dict[str, int]:
    """What the controllers that live have dropped since they started."""
    counts = [
        beat.detail.get("counts", {})
        for beat in beats
        if beat.binary == _CONTROLLER and beat.beat_at >= since
    ]
    return {kind: sum(each.get(kind, 0) for each in counts) for kind in _DROPPED}


def _mode(beats: list[ServiceBeat], since: float) -> str | None:
    """The mode of the rebalancer that leads, None if none lives."""
    alive = [
        beat for beat in beats if beat.binary == _REBALANCER and beat.beat_at >= since
    ]
    alive.sort(key=lambda beat: (bool(beat.detail.get("leader")), beat.beat_at))
    return alive[-1].detail.get("mode") if alive else None


def _parts(answer: Mapping[str, Any]) -> Iterator[str]:
    """The answer in paragraphs."""
    rebalancer = f"mode {answer['mode']}" if answer["mode"] else "none is running"
    if answer["paused"]:
        rebalancer += f", paused by {answer['paused_by']} since {answer['paused_at']}"
        if answer["pause_reason"]:
            rebalancer += f" ({answer['pause_reason']})"
    yield f"Rebalancer: {rebalancer}."
    age = answer["inventory_age_seconds"]
    inventory = (
        "Inventory: never read"
        if age is None
        else f"Inventory: {age} s old, {answer['hosts']} hosts, {answer['guests']} "
        f"guests, {answer['fingerprints']} fingerprints"
    )
    if answer["inventory_stale"]:
        inventory += "; STALE"
    if answer["inventory_error"]:
        inventory += (
            f"; tried at {answer['inventory_attempted_at']} in vain: "
            f"{answer['inventory_error']}"
        )
    yield f"{inventory}."
    if answer["services"]:
        yield aligned(
            ("service", "host", "age s", "stale"),
            [
                (
                    each["binary"],
                    each["host"],
                    each["age_seconds"],
                    "STALE" if each["stale"] else "",
                )
                for each in answer["services"]
            ],
        )
    if answer["down_hosts"]:
        yield f"Down by Nova's word: {', '.join(answer['down_hosts'])}."
    if answer["not_merging_hosts"]:
        hosts = (
            f"{each['host']} ({each['ksm']})" for each in answer["not_merging_hosts"]
        )
        yield (
            f"KSM is not merging on: {', '.join(hosts)}. Switch it on there: "
            f"echo 1 > /sys/kernel/mm/ksm/run"
        )
    if answer["mixed_hosts"]:
        names = [each["host"] for each in answer["mixed_hosts"]]
        listed = ", ".join(names[:_NAMED])
        if len(names) > _NAMED:
            listed += f" and {len(names) - _NAMED} more (all of them: -f json)"
        yield (
            f"Guests of several trust scopes may share merged pages on: {listed}. "
            f"KsmIsolationFilter in nova-scheduler keeps new ones apart."
        )
    if answer["smart_scan_hosts"]:
        yield (
            f"smart_scan is on, so merging after a migration can take dozens of "
            f"scans, on: {', '.join(answer['smart_scan_hosts'])}. Switch it off "
            f"there: echo 0 > /sys/kernel/mm/ksm/smart_scan"
        )
    if len(answer["keys"]) > 1:
        keys = "; ".join(
            f"{key}: {', '.join(on)}" for key, on in answer["keys"].items()
        )
        yield (
            f"Agents have different keys, so that nothing is planned: {keys}. Give "
            f"all of them the same key file."
        )
    dropped = [
        f"{count} {kind}" for kind, count in answer["dropped_messages"].items() if count
    ]
    if dropped:
        yield (
            f"Messages that the controllers have dropped since they started: "
            f"{', '.join(dropped)}. Their logs say more."
        )
