# SPDX-License-Identifier: Apache-2.0
"""The demo's tables, as text: numbers in, lines out."""

from collections.abc import Iterable, Mapping
from typing import Any

from membuddies_nova.cli.report import aligned
from tests.cloud.lab.frames import PAGE_BYTES, FrameCount

from .placing import Placement
from .scheduling import Choice
from .verdict import Verdict

_SIZES = ("unique_mb", "zero_mb", "self_shared_mb", "inter_shared_mb")
_SIZE_HEADINGS = ("unique MB", "zero MB", "self-shared MB", "inter-shared MB")


def hosts(listed: Iterable[Mapping[str, Any]], frames: Mapping[str, FrameCount]) -> str:
    """What we know of each host, beside what its guests occupy by the kernel.

    :param listed: rows of ``membuddies host list``
    """
    headings = ("host", "guests", *_SIZE_HEADINGS, "frames MB", "KSM saves MB")
    by_host = {row["host"]: row for row in listed}
    rows = [
        (
            host,
            by_host[host]["guests"],
            *(by_host[host][name] for name in _SIZES),
            count.mb,
            saved_mb(count),
        )
        for host, count in frames.items()
    ]
    return aligned(headings, rows)


def saved_mb(count: FrameCount) -> float:
    """Present memory that has no physical frame of its own, in MB."""
    return (count.present_pages - count.frames) * PAGE_BYTES / 2**20


def guests(listed: Iterable[Mapping[str, Any]]) -> str:
    """What we know of each guest, host by host.

    :param listed: rows of ``membuddies guest list``
    """
    rows = sorted(
        (row["host"], row["name"], *(row[name] for name in _SIZES)) for row in listed
    )
    return aligned(("host", "guest", *_SIZE_HEADINGS), rows)


def weights(choice: Choice) -> str:
    """How the hosts scored, the best first."""
    headings = ("host", *choice.deciding, "all weights", "")
    rows = [
        (
            host,
            *(_product(choice, weigher, host) for weigher in choice.deciding),
            f"{total:.2f}",
            "<- chosen" if host == choice.host else "",
        )
        for host, total in choice.sums.items()
    ]
    return aligned(headings, rows)


def _product(choice: Choice, weigher: str, host: str) -> str:
    score = choice.scores[weigher][host]
    return f"{score.multiplier:g} x {score.weight:.2f}"


def shared_frames(placement: Placement) -> str:
    """What the new guest shares with the others of each host, by the kernel."""
    rows = [
        (
            host,
            frames * PAGE_BYTES / 2**20,
            "<- with our weigher"
            if host == placement.aware.host
            else "<- at multiplier 0"
            if host == placement.unaware.host
            else "",
        )
        for host, frames in placement.shared_frames.items()
    ]
    return aligned(("host", "shared with its guests MB", ""), rows)


def moves(plan: Mapping[str, Any]) -> str:
    """The moves of a plan, each with its reason."""
    rows = [
        (
            move["wave"],
            move["guest_name"],
            move["from"],
            move["to"],
            move["gain_mb"],
            move["reason"],
        )
        for move in plan["moves"]
    ]
    return aligned(("wave", "guest", "from", "to", "gain MB", "reason"), rows)


def verdict(verdict: Verdict) -> str:
    """Memory host by host, and what was saved against what was predicted."""
    rows = [
        (host, before, verdict.after_mb[host], before - verdict.after_mb[host])
        for host, before in verdict.before_mb.items()
    ]
    total = (
        "all hosts",
        verdict.total_before_mb,
        verdict.total_after_mb,
        verdict.measured_saved_mb,
    )
    table = aligned(("host", "before MB", "after MB", "saved MB"), [*rows, total])
    facts = (
        ("predicted", f"{verdict.predicted_saved_mb:.1f} MB"),
        ("really saved", f"{verdict.measured_saved_mb:.1f} MB"),
        ("error", f"{verdict.error_points:.2f} points of what was used before"),
        ("migrations", str(verdict.migrations)),
    )
    return f"{table}\n\n{aligned(facts[0], facts[1:])}"
