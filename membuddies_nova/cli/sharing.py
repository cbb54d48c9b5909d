# SPDX-License-Identifier: Apache-2.0
"""``membuddies sharing``: what guests would share on one host, from files."""

import argparse
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from membuddies_nova import exceptions
from membuddies_nova.cli import argument, page_list, progress
from membuddies_nova.cli.report import ReportCommand, aligned
from membuddies_nova.cluster import Guest, Scope
from membuddies_nova.fingerprint import bloom
from membuddies_nova.fingerprint.sample import MIN_SHIFT, Estimate, Sample
from membuddies_nova.model.sharing import PAGES_PER_MB, SharingModel
from membuddies_nova.model.snapshot import ClusterSnapshot


class Sharing(ReportCommand):
    """Show what the guests in these files would share on one host.

    A file is a page list (.npy of uint64 ids or uint32 hashes, .txt of 32-bit
    hashes) or a sealed fingerprint (.mbf). No cloud is asked.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "files", metavar="FILE", nargs="+", type=pathlib.Path, help="one guest each"
        )
        parser.add_argument(
            "--format",
            dest="fingerprint_format",
            choices=("sample", "list", "bloom"),
            default="sample",
            help="compare samples of the pages (the default), each of them, or Bloom "
            "filters of them",
        )
        parser.add_argument(
            "--shift",
            type=argument.SHIFT,
            default=MIN_SHIFT,
            help="sample one of 2^SHIFT pages (default %(default)s); list and bloom "
            "always take all",
        )
        parser.add_argument(
            "--bloom-error",
            metavar="FRACTION",
            type=argument.fraction,
            default=0.002,
            help="false positives of a Bloom filter that holds all pages of all "
            "guests (default %(default)s)",
        )
        parser.add_argument(
            "--zero-id",
            type=argument.ZERO_ID,
            help="what the files have for a page of zeros",
        )
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> dict[str, Any]:
        whole = parsed_args.fingerprint_format != "sample"
        samples = {
            path: page_list.read_sample(
                path, 0 if whole else parsed_args.shift, parsed_args.zero_id
            )
            for path in progress.shown(parsed_args.files, "reading guests")
        }
        page_list.check_together({str(path): each for path, each in samples.items()})
        for path, sample in samples.items():
            if whole and sample.shift:
                raise exceptions.InputError(
                    f"{path}: holds one of {2**sample.shift} pages, no list of all; "
                    f"use --format sample"
                )
        ordered = [samples[path] for path in parsed_args.files]
        unique = sum(sample.counters.unique_pages for sample in ordered)
        estimates: _Samples | _Filters
        if parsed_args.fingerprint_format == "bloom":
            estimates = _Filters(ordered, unique, parsed_args.bloom_error)
        else:
            estimates = _Samples(ordered)
        union = min(round(estimates.union_pages()), unique)
        return {
            "format": parsed_args.fingerprint_format,
            "shift": max(sample.shift for sample in ordered),
            "guests": [
                {
                    "name": path.stem,
                    "pages": sample.counters.resident_pages,
                    "unique_pages": sample.counters.unique_pages,
                    "zero_pages": sample.counters.zero_pages,
                    "self_shared_pages": sample.counters.self_shared_pages,
                }
                for path, sample in zip(parsed_args.files, ordered, strict=True)
            ],
            "pairs": _pairs(estimates, [path.stem for path in parsed_args.files]),
            "union_pages": union,
            "saved_pages": unique - union,
            "saved_fraction": (unique - union) / unique if unique else 0.0,
        }

    def rendered(self, answer: Mapping[str, Any]) -> str:
        guests = aligned(
            ("guest", "pages", "unique", "zero", "self-shared"),
            [tuple(guest.values()) for guest in answer["guests"]],
        )
        pairs = aligned(
            ("guest", "guest", "shared pages", "MB", "standard error"),
            [tuple(pair.values()) for pair in answer["pairs"]],
        )
        together = (
            f"Together on one host: {answer['union_pages']} pages "
            f"({answer['union_pages'] / PAGES_PER_MB:.1f} MB) instead of "
            f"{answer['union_pages'] + answer['saved_pages']}; "
            f"{answer['saved_pages'] / PAGES_PER_MB:.1f} MB saved between guests "
            f"({answer['saved_fraction']:.1%})."
        )
        counted = {
            "list": "Counted on all pages.",
            "bloom": "Estimated from Bloom filters of all pages.",
            "sample": f"Estimated from one of {2 ** answer['shift']} pages; counts of "
            f"single guests are exact.",
        }[answer["format"]]
        return "\n\n".join((guests, pairs, f"{together}\n{counted}"))


class _Samples:
    """Guests compared by their samples; they are known by number."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        numbers = [str(number) for number in range(len(samples))]
        self._model = SharingModel(
            ClusterSnapshot(
                hosts=(),
                guests=tuple(
                    Guest(uuid=each, name=each, memory_mb=0) for each in numbers
                ),
                samples=dict(zip(numbers, samples, strict=True)),
            ),
            Scope.GLOBAL,
        )

    def shared_pages(self, a: int, b: int) -> Estimate:
        return self._model.shared_pages(str(a), str(b))

    def union_pages(self) -> float:
        return self._model.host_pages(self._model.uuids).pages


class _Filters:
    """Guests compared by Bloom filters, in which the union of all finds room."""

    def __init__(
        self, samples: Sequence[Sample], unique_pages: int, error: float
    ) -> None:
        size, hashes = bloom.dimensions(unique_pages, error)
        self._filters = [
            bloom.BloomFilter.of_items(sample.items, size, hashes) for sample in samples
        ]

    def shared_pages(self, a: int, b: int) -> Estimate:
        return self._filters[a].shared_pages(self._filters[b])

    def union_pages(self) -> float:
        return bloom.union(self._filters).unique_pages()


def _pairs(
    estimates: _Samples | _Filters, names: Sequence[str]
) -> list[dict[str, Any]]:
    pairs = []
    for a, b in itertools.combinations(range(len(names)), 2):
        shared = estimates.shared_pages(a, b)
        pairs.append(
            {
                "a": names[a],
                "b": names[b],
                "shared_pages": round(shared.pages),
                "shared_mb": round(shared.mb, 3),
                "standard_error_pages": round(shared.standard_error, 3),
            }
        )
    return pairs
