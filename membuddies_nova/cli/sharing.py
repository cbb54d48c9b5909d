# SPDX-License-Identifier: Apache-2.0
"""``membuddies sharing``: what guests would share on one host, from files."""

import argparse
import functools
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from membuddies_nova import exceptions
from membuddies_nova.cli import argument, page_list, progress
from membuddies_nova.cli.report import ReportCommand, aligned
from membuddies_nova.fingerprint import bloom
from membuddies_nova.fingerprint.bloom import BloomFilter
from membuddies_nova.fingerprint.formats import Fingerprint
from membuddies_nova.fingerprint.sample import MIN_SHIFT, Format, Sample
from membuddies_nova.model.sharing import PAGES_PER_MB

_Any = TypeVar("_Any", bound=Fingerprint)


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
        read = {
            path: _read(path, parsed_args)
            for path in progress.shown(parsed_args.files, "reading guests")
        }
        page_list.check_together({str(path): each for path, each in read.items()})
        names = [path.stem for path in parsed_args.files]
        ordered = [read[path] for path in parsed_args.files]
        chosen = Format(parsed_args.fingerprint_format)
        try:
            if chosen is Format.BLOOM:
                filters = _filters(ordered, parsed_args.bloom_error)
                return _answer(chosen, 0, names, filters)
            samples = [each for each in ordered if isinstance(each, Sample)]
            shift = max(sample.shift for sample in samples)
            return _answer(chosen, shift, names, samples)
        except exceptions.FingerprintError as error:
            raise exceptions.InputError(str(error)) from None

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


def _read(path: pathlib.Path, parsed_args: argparse.Namespace) -> Sample | BloomFilter:
    """A file's fingerprint, if the format that was chosen can be made of it.

    :raises InputError: if it cannot, or for a file that holds no guest's pages
    """
    chosen = Format(parsed_args.fingerprint_format)
    shift = parsed_args.shift if chosen is Format.SAMPLE else 0
    if not page_list.is_fingerprint(path):
        return page_list.read_page_list(path, parsed_args.zero_id).sample(shift)
    found = page_list.read_any(path)
    if isinstance(found, BloomFilter):
        if chosen is not Format.BLOOM:
            raise exceptions.InputError(
                f"{path}: holds a Bloom filter; use --format bloom"
            )
        return found
    if chosen is not Format.SAMPLE and found.shift:
        raise exceptions.InputError(
            f"{path}: holds one of {2**found.shift} pages, no list of all; use "
            f"--format sample"
        )
    return found.thinned(max(shift, found.shift))


def _filters(
    fingerprints: Sequence[Sample | BloomFilter], error: float
) -> list[BloomFilter]:
    """A Bloom filter of each, in which the union of all finds room.

    Where files hold filters already, the others are made as these are.
    """
    given = [each for each in fingerprints if isinstance(each, BloomFilter)]
    if given:
        size, hashes = min(each.size for each in given), given[0].hashes
    else:
        unique = sum(each.unique_pages for each in fingerprints)
        size, hashes = bloom.dimensions(unique, error)
    return [
        each
        if isinstance(each, BloomFilter)
        else BloomFilter.of_list(each, size, hashes)
        for each in fingerprints
    ]


def _answer(
    chosen: Format, shift: int, names: Sequence[str], fingerprints: Sequence[_Any]
) -> dict[str, Any]:
    counted = [each.counters for each in fingerprints]
    unique = sum(each.unique_pages for each in counted)
    union = functools.reduce(lambda a, b: a.union(b), fingerprints).unique_pages
    return {
        "format": chosen.value,
        "shift": shift,
        "guests": [
            {
                "name": name,
                "pages": each.resident_pages,
                "unique_pages": each.unique_pages,
                "zero_pages": each.zero_pages,
                "self_shared_pages": each.self_shared_pages,
            }
            for name, each in zip(names, counted, strict=True)
        ],
        "pairs": _pairs(fingerprints, names),
        "union_pages": union,
        "saved_pages": unique - union,
        "saved_fraction": (unique - union) / unique if unique else 0.0,
    }


def _pairs(fingerprints: Sequence[_Any], names: Sequence[str]) -> list[dict[str, Any]]:
    pairs = []
    for a, b in itertools.combinations(range(len(names)), 2):
        shared = fingerprints[a].shared_pages(fingerprints[b])
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
