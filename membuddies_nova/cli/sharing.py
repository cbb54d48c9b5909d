# SPDX-License-Identifier: Apache-2.0
"""``membuddies sharing``: what guests would share on one host, from files."""

import argparse
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from membuddies_nova import exceptions
from membuddies_nova.cli import argument, page_list
from membuddies_nova.cli.report import ReportCommand, aligned
from membuddies_nova.cluster import Guest, Scope
from membuddies_nova.fingerprint.sample import MIN_SHIFT, Sample
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
            choices=("sample", "list"),
            default="sample",
            help="count a sample of the pages (the default) or each of them",
        )
        parser.add_argument(
            "--shift",
            type=argument.SHIFT,
            default=MIN_SHIFT,
            help="sample one of 2^SHIFT pages (default %(default)s); a list has all",
        )
        parser.add_argument(
            "--zero-id",
            type=argument.ZERO_ID,
            help="what the files have for a page of zeros",
        )
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> dict[str, Any]:
        exact = parsed_args.fingerprint_format == "list"
        samples = {
            path: page_list.read_sample(
                path, 0 if exact else parsed_args.shift, parsed_args.zero_id
            )
            for path in parsed_args.files
        }
        page_list.check_together({str(path): each for path, each in samples.items()})
        for path, sample in samples.items():
            if exact and sample.shift:
                raise exceptions.InputError(
                    f"{path}: holds one of {2**sample.shift} pages, no list of all; "
                    f"use --format sample"
                )
        ordered = [samples[path] for path in parsed_args.files]
        model = _model(ordered)
        unique = sum(sample.counters.unique_pages for sample in ordered)
        union = round(model.host_pages(model.uuids).pages)
        return {
            "format": parsed_args.fingerprint_format,
            "shift": model.shift,
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
            "pairs": _pairs(model, [path.stem for path in parsed_args.files]),
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
        sampled = (
            f"Counted on all pages ({answer['format']})."
            if answer["shift"] == 0
            else f"Estimated from one of {2 ** answer['shift']} pages; counts of "
            f"single guests are exact."
        )
        return "\n\n".join((guests, pairs, f"{together}\n{sampled}"))


def _model(samples: Sequence[Sample]) -> SharingModel:
    """A model of guests that are nowhere; they are known by number."""
    numbers = [str(number) for number in range(len(samples))]
    return SharingModel(
        ClusterSnapshot(
            hosts=(),
            guests=tuple(Guest(uuid=each, name=each, memory_mb=0) for each in numbers),
            samples=dict(zip(numbers, samples, strict=True)),
        ),
        Scope.GLOBAL,
    )


def _pairs(model: SharingModel, names: Sequence[str]) -> list[dict[str, Any]]:
    pairs = []
    for a, b in itertools.combinations(range(len(names)), 2):
        shared = model.shared_pages(str(a), str(b))
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
