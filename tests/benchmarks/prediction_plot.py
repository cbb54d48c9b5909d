# SPDX-License-Identifier: Apache-2.0
"""The table and the plot of predictions beside what KSM did."""

import pathlib
import statistics
from collections.abc import Mapping

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

from tests.benchmarks.savings import PAGES_PER_MB, Row, Savings

Rows = Mapping[tuple[str, ...], Row]

KINDS = ("zero", "self_shared", "inter_shared", "saved")
SOURCES = (
    ("sample, shift 6", "coarse"),
    ("all pages", "exact"),
    ("measured", "measured"),
)


def of_size(rows: Rows, size: int) -> list[Row]:
    return [row for names, row in rows.items() if len(names) == size]


def points_off(rows: list[Row], source: str) -> tuple[float, float]:
    """Mean and worst difference from what was measured, in points."""
    points = [getattr(row, source).points_off(row.measured) for row in rows]
    return round(statistics.mean(points), 3), round(max(points), 3)


def table(rows: Rows) -> str:
    """Errors of pairs, triples and the full host, and the full host in MB."""
    everyone = max(rows, key=len)
    lines = [f"{'points of memory in use':24}{'sample, shift 6':>20}{'all pages':>20}"]
    for name, size in (
        ("pairs", 2),
        ("triples", 3),
        ("full host", len(everyone)),
    ):
        members = of_size(rows, size)
        cells = [
            "{:8.3f}, worst {:5.3f}".format(*points_off(members, source))
            for source in ("coarse", "exact")
        ]
        lines.append(f"{f'{len(members)} {name}':24}" + "".join(cells))
    lines.append("")
    lines.append(f"{'full host, MB':24}" + "".join(f"{k:>14}" for k in KINDS))
    for name, source in SOURCES:
        savings: Savings = getattr(rows[everyone], source)
        cells = [f"{getattr(savings, kind) / PAGES_PER_MB:14.1f}" for kind in KINDS]
        lines.append(f"{name:24}" + "".join(cells))
    resident = rows[everyone].measured.resident / PAGES_PER_MB
    lines.append(f"in use before: {resident:.1f} MB")
    return "\n".join(lines)


def draw(rows: Rows, path: pathlib.Path) -> None:
    """Pairs and triples as points on the line of truth, the full host as bars."""
    drawing, (points, bars) = pyplot.subplots(
        1, 2, figsize=(11, 4.8), width_ratios=(3, 2), layout="constrained"
    )
    _points(points, rows)
    _bars(bars, rows[max(rows, key=len)])
    drawing.savefig(path, dpi=120)
    pyplot.close(drawing)


def _points(axes: Axes, rows: Rows) -> None:
    for name, size, mark in (("triples", 3, "."), ("pairs", 2, "x")):
        members = of_size(rows, size)
        axes.plot(
            [row.measured.inter_shared / PAGES_PER_MB for row in members],
            [row.coarse.inter_shared / PAGES_PER_MB for row in members],
            mark,
            label=f"{len(members)} {name}",
        )
    end = max(row.measured.inter_shared for row in of_size(rows, 3)) / PAGES_PER_MB
    axes.plot([0, end], [0, end], color="grey", linewidth=0.8, zorder=0)
    axes.set_xlabel("shared between guests, measured (MB)")
    axes.set_ylabel("predicted from samples at shift 6 (MB)")
    axes.set_title("Pairs and triples")
    axes.legend()


def _bars(axes: Axes, row: Row) -> None:
    for place, (_, source) in enumerate(SOURCES):
        savings: Savings = getattr(row, source)
        base = 0.0
        for kind, colour in zip(KINDS, ("C7", "C1", "C0"), strict=False):
            height = getattr(savings, kind) / PAGES_PER_MB
            axes.bar(place, height, bottom=base, color=colour)
            axes.text(place, base + height / 2, f"{height:.0f}", ha="center")
            axes.set_ylim(0, max(axes.get_ylim()[1], 1.3 * (base + height)))
            base += height
    axes.set_xticks(range(len(SOURCES)), [name for name, _ in SOURCES])
    axes.set_ylabel("saved (MB)")
    axes.set_title(
        f"Full host, {row.measured.resident / PAGES_PER_MB:.0f} MB in use before"
    )
    axes.legend(
        [pyplot.Rectangle((0, 0), 1, 1, color=c) for c in ("C7", "C1", "C0")],
        ["zero pages", "repeated inside a guest", "shared between guests"],
        loc="upper center",
    )
