# SPDX-License-Identifier: Apache-2.0
"""Does KSM save what the sharing model says?

Each recorded guest (MEMBUDDIES_CORPUS, else examples/) becomes a process that
repeats its sharing pattern page by page. The agent's own scan takes the samples,
at shift 6 and of all pages, while nothing is merged; the sharing model predicts.
Then KSM runs until nothing changes any more, and what it did is counted: by the
distinct physical frames behind the pages, and by KSM's own counters for these
processes. Zero pages, pages that repeat inside a guest, and pages shared between
guests are counted apart, for the full host, for all pairs and for all triples.

All guests merge in one go: which frames a pair or a triple needs is told by the
frames of its members. That this is what KSM does for the pair or the triple
alone is measured, too, for those that share most.

Asked: on the full host the prediction is within 2 points of memory in use, by
frames and by KSM's count, for the sum and for each kind of page alone. Beside
the figure the script writes a table and a plot into build/benchmarks.

Needs root, 4 KiB for each page of the guests, and KSM for itself: it waits for
the lock that the tests hold, too.

Run: python -m tests.benchmarks.prediction
"""

import contextlib
import dataclasses
import itertools
import pathlib
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from membuddies_agent import pagemap
from membuddies_agent.scan import scan
from membuddies_nova.cluster import Guest, Scope
from membuddies_nova.fingerprint.sample import MIN_SHIFT, Sample
from membuddies_nova.model.sharing import SharingModel
from membuddies_nova.model.snapshot import ClusterSnapshot
from tests.benchmarks import figure, guests, prediction_plot
from tests.benchmarks.savings import PAGES_PER_MB, Row, Savings
from tests.functional.agent import ksm, processes

ASKED_POINTS = 2.0
CONVERGED_SECONDS = 1800
PROGRAM = pathlib.Path(__file__).with_name("guest_of_list.py")

Names = tuple[str, ...]


def recorded() -> dict[str, np.ndarray]:
    """The recorded guests, each once: its first recording."""
    return {
        name.removesuffix(".t0"): ids
        for name, ids in guests.recorded().items()
        if not name.endswith(".t1")
    }


@contextlib.contextmanager
def host_of(lists: Mapping[str, np.ndarray]) -> Iterator[dict[str, processes.Child]]:
    """A process for each page list."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        children = {}
        for name, ids in lists.items():
            path = folder / f"{name}.npy"
            np.save(path, ids)
            children[name] = stack.enter_context(
                processes.running(len(ids), str(PROGRAM), str(path))
            )
        yield children


def model_of(samples: Mapping[str, Sample]) -> SharingModel:
    cloud = tuple(Guest(uuid=name, name=name, memory_mb=0) for name in samples)
    snapshot = ClusterSnapshot(hosts=(), guests=cloud, samples=samples)
    return SharingModel(snapshot, Scope.GLOBAL)


def predicted(model: SharingModel, names: Names) -> Savings:
    found = model.breakdown(names)
    return Savings(
        resident=found.resident_pages,
        zero=found.zero_pages,
        self_shared=found.self_shared_pages,
        inter_shared=found.inter_shared.pages,
    )


@dataclasses.dataclass(frozen=True)
class Merged:
    """One process after KSM has converged.

    :ivar frames: distinct ones behind its pages, without the kernel's zero page
    :ivar ksm_merging_pages: its pages that KSM's frames stand for
    """

    resident: int
    zero: int
    frames: np.ndarray
    ksm_frames: np.ndarray
    ksm_merging_pages: int

    @classmethod
    def of(cls, child: processes.Child) -> "Merged":
        entries = child.entries()
        frames = pagemap.frames(entries[pagemap.present(entries)])
        kept = frames[frames != pagemap.zero_frame()]
        is_ksm = ksm.merged(child)
        return cls(
            resident=len(frames),
            zero=len(frames) - len(kept),
            frames=np.unique(kept),
            ksm_frames=np.unique(pagemap.frames(entries[is_ksm])),
            ksm_merging_pages=ksm_stat(child, "ksm_merging_pages"),
        )


def ksm_stat(child: processes.Child, name: str) -> int:
    text = pathlib.Path(f"/proc/{child.process.pid}/ksm_stat").read_text("ascii")
    values = dict(line.split()[:2] for line in text.splitlines())
    return int(values[name])


def measured(merged: Sequence[Merged]) -> Savings:
    """What some processes save, by the frames behind their pages."""
    union = np.unique(np.concatenate([one.frames for one in merged]))
    unique = sum(len(one.frames) for one in merged)
    resident = sum(one.resident for one in merged)
    zero = sum(one.zero for one in merged)
    return Savings(
        resident=resident,
        zero=zero,
        self_shared=resident - zero - unique,
        inter_shared=unique - len(union),
    )


def ksm_count(merged: Sequence[Merged]) -> int:
    """KSM's pages_sharing and ksm_zero_pages, of these processes alone."""
    frames = np.unique(np.concatenate([one.ksm_frames for one in merged]))
    sharing = sum(one.ksm_merging_pages for one in merged) - len(frames)
    return sharing + sum(one.zero for one in merged)


def alone(lists: Mapping[str, np.ndarray], names: Names) -> Savings:
    """What KSM saves where only these guests are."""
    with host_of({name: lists[name] for name in names}) as children:
        ksm.converge(timeout_seconds=CONVERGED_SECONDS)
        return measured([Merged.of(child) for child in children.values()])


def mb(name: str, pages: float) -> dict[str, float]:
    return {f"{name}, MB": round(pages / PAGES_PER_MB, 1)}


def main() -> int:
    lists = recorded()
    with ksm.borrowed(use_zero_pages=1, pages_to_scan=100_000, sleep_millisecs=5):
        with host_of(lists) as children:
            scans = {name: scan(child.process) for name, child in children.items()}
            exact = model_of({name: one.sample(0) for name, one in scans.items()})
            coarse = model_of(
                {name: one.sample(MIN_SHIFT) for name, one in scans.items()}
            )
            ksm.converge(timeout_seconds=CONVERGED_SECONDS)
            merged = {name: Merged.of(child) for name, child in children.items()}
        everyone = tuple(lists)
        sets = [
            *itertools.combinations(everyone, 2),
            *itertools.combinations(everyone, 3),
            everyone,
        ]
        rows = {
            names: Row(
                predicted(coarse, names),
                predicted(exact, names),
                measured([merged[name] for name in names]),
            )
            for names in sets
        }
        by_themselves = {}
        for size in (2, 3):
            best = max(
                (names for names in rows if len(names) == size),
                key=lambda names: rows[names].measured.inter_shared,
            )
            by_themselves[best] = alone(lists, best)
    folder = figure.DIRECTORY
    folder.mkdir(parents=True, exist_ok=True)
    table = prediction_plot.table(rows)
    print(table)
    (folder / "prediction.txt").write_text(table + "\n")
    prediction_plot.draw(rows, folder / "prediction.png")
    host = rows[everyone]
    counted = ksm_count(list(merged.values()))
    in_use = host.measured.resident
    errors = {
        "by frames": host.coarse.points_off(host.measured),
        "by KSM's count": 100 * abs(host.coarse.saved - counted) / in_use,
    }
    return figure.Figure(
        name="prediction",
        what=f"saving predicted against measured, full host of {len(lists)} guests",
        how="at most",
        asked=ASKED_POINTS,
        measured=max(errors.values()),
        unit="points of memory in use",
        facts={
            **{how: round(points, 3) for how, points in errors.items()},
            "in use before, MB": round(in_use / PAGES_PER_MB),
            **mb("saved by frames", host.measured.saved),
            **mb("saved by KSM's count", counted),
            **mb("predicted at shift 6", host.coarse.saved),
            **mb("predicted of all pages", host.exact.saved),
            **{
                f"{name}, mean and worst points": prediction_plot.points_off(
                    prediction_plot.of_size(rows, size), "coarse"
                )
                for name, size in (("pairs", 2), ("triples", 3))
            },
            **{
                f"{' + '.join(names)} alone and among all, MB": (
                    round(found.saved / PAGES_PER_MB, 1),
                    round(rows[names].measured.saved / PAGES_PER_MB, 1),
                )
                for names, found in by_themselves.items()
            },
        },
    ).publish()


if __name__ == "__main__":
    sys.exit(main())
