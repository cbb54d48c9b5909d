# SPDX-License-Identifier: Apache-2.0
"""Whether a sample's estimate of a pair is as good as it says.

Each pair of the recorded guests that shares 20 MB or more gets new ids for its pages,
XXH3-64 of the old ones under 200 seeds, and is estimated from samples of shift 3 and
6. Every pair has seeds of its own: kin share the same pages, so that under one seed
all pairs err alike, and the mean of them is no better than that of one pair.

Against the count of all pages: the mean of the signed errors (as a part of what is
shared), the root mean square of the errors over the standard error that the estimate
states, and how many lie within two of it.

Run: python -m tests.benchmarks.pair_estimates
"""

import itertools
import math
import sys

import numpy as np
import numpy.typing as npt
import xxhash

from membuddies_nova.fingerprint import page
from membuddies_nova.fingerprint.sample import Counters, Estimate, Sample
from tests.benchmarks.figure import Figure
from tests.benchmarks.guests import recorded

SEEDS = 200
SHIFTS = (3, 6)
LEAST_PAGES = 20 * 256

ASKED_BIAS = 0.005
ASKED_RMS = 0.10
ASKED_WITHIN_TWO = (0.93, 0.97)

# Bytes 8 to 24 of XXH3's default secret, for inputs of 4 to 8 bytes.
_SECRET = (0x1CAD21F72C81017C, 0xDB979083E96DD4DE)
_MASK = 2**64 - 1
_PRIME = np.uint64(0x9FB21C651E98DF25)


def rehashed(ids: page.Ids, seed: int) -> page.Ids:
    """XXH3-64 of each id as 8 bytes, little-endian; as the package has it."""
    low = int.from_bytes((seed & 0xFFFFFFFF).to_bytes(4, "little"), "big")
    flip = ((_SECRET[0] ^ _SECRET[1]) - (seed ^ (low << 32))) & _MASK
    value = (ids >> np.uint64(32)) | (ids << np.uint64(32))
    value ^= np.uint64(flip)
    value ^= _rotated(value, 49) ^ _rotated(value, 24)
    value *= _PRIME
    value ^= (value >> np.uint64(35)) + np.uint64(8)
    value *= _PRIME
    return value ^ (value >> np.uint64(28))


def _rotated(value: page.Ids, bits: int) -> page.Ids:
    return (value << np.uint64(bits)) | (value >> np.uint64(64 - bits))


def check_hash(ids: page.Ids) -> None:
    """See that the arithmetic is the package's."""
    for seed in (0, 1, SEEDS, 2**63 + 12345):
        for given, made in zip(ids.tolist(), rehashed(ids, seed).tolist(), strict=True):
            raw = given.to_bytes(8, "little")
            if xxhash.xxh3_64_intdigest(raw, seed) != made:
                raise SystemExit("the rehashing here is not XXH3-64")


def sampled(unique: page.Ids, seed: int) -> Sample:
    """The finest sample of a guest's pages under another seed."""
    ids = rehashed(unique, seed)
    fine = np.sort(ids[ids < np.uint64(1 << (64 - min(SHIFTS)))])
    counters = Counters(
        resident_pages=len(unique), unique_pages=len(unique), zero_pages=0
    )
    return Sample.of_unique(fine, counters, shift=min(SHIFTS))


def main() -> int:
    zero = np.uint64(page.zero_page_id())
    guests = {name: np.setdiff1d(ids, [zero]) for name, ids in recorded().items()}
    check_hash(next(iter(guests.values()))[:50])
    shared = {
        (a, b): len(np.intersect1d(guests[a], guests[b], assume_unique=True))
        for a, b in itertools.combinations(guests, 2)
    }
    pairs = {pair: pages for pair, pages in shared.items() if pages >= LEAST_PAGES}
    relative: dict[int, list[list[float]]] = {shift: [] for shift in SHIFTS}
    normal: dict[int, list[list[float]]] = {shift: [] for shift in SHIFTS}
    stated: dict[int, list[list[float]]] = {shift: [] for shift in SHIFTS}
    for number, ((a, b), pages) in enumerate(pairs.items()):
        rows: dict[int, list[Estimate]] = {shift: [] for shift in SHIFTS}
        for seed in range(1 + number * SEEDS, 1 + (number + 1) * SEEDS):
            first, second = sampled(guests[a], seed), sampled(guests[b], seed)
            for shift in SHIFTS:
                found = first.thinned(shift).shared_pages(second.thinned(shift))
                rows[shift].append(found)
        for shift, estimates in rows.items():
            relative[shift].append([one.pages / pages - 1 for one in estimates])
            normal[shift].append(
                [(one.pages - pages) / one.standard_error for one in estimates]
            )
            stated[shift].append([one.standard_error / pages for one in estimates])
    missed = 0
    for shift in SHIFTS:
        missed += published(
            shift,
            len(pairs),
            np.array(relative[shift]),
            np.array(normal[shift]),
            np.array(stated[shift]),
        )
    return 1 if missed else 0


def published(
    shift: int,
    pairs: int,
    relative: npt.NDArray[np.float64],
    normal: npt.NDArray[np.float64],
    stated: npt.NDArray[np.float64],
) -> int:
    """Three figures of one shift; arrays are pairs x seeds.

    :returns: how many are missed
    """
    facts = {
        "pairs": pairs,
        "seeds_each": SEEDS,
        "root_mean_square_error_percent": round(100 * _rms(relative), 3),
        "mean_stated_error_percent": round(100 * float(stated.mean()), 3),
    }
    within = float((np.abs(normal) <= 2).mean())
    middle = sum(ASKED_WITHIN_TWO) / 2
    figures = (
        Figure(
            name=f"pair_estimates_bias_shift_{shift}",
            what=f"mean signed error of a pair's estimate at shift {shift}, absolute",
            how="at most",
            asked=100 * ASKED_BIAS,
            measured=100 * abs(float(relative.mean())),
            unit="%",
            facts={
                **facts,
                "worst_pair_percent": round(
                    100 * float(np.abs(relative.mean(axis=1)).max()), 3
                ),
            },
        ),
        Figure(
            name=f"pair_estimates_rms_shift_{shift}",
            what=f"root mean square error over the stated one at shift {shift}, "
            f"its distance from 1",
            how="at most",
            asked=100 * ASKED_RMS,
            measured=100 * abs(_rms(relative) / _rms(stated) - 1),
            unit="%",
            facts={**facts, "ratio": round(_rms(relative) / _rms(stated), 4)},
        ),
        Figure(
            name=f"pair_estimates_within_two_shift_{shift}",
            what=f"estimates within two stated errors at shift {shift}, "
            f"distance from {100 * middle:g} %",
            how="at most",
            asked=100 * (ASKED_WITHIN_TWO[1] - middle),
            measured=100 * abs(within - middle),
            unit="points",
            facts={**facts, "within_two_percent": round(100 * within, 2)},
        ),
    )
    return sum(figure.publish() for figure in figures)


def _rms(values: npt.NDArray[np.float64]) -> float:
    return math.sqrt(float(np.square(values).mean()))


if __name__ == "__main__":
    sys.exit(main())
