# SPDX-License-Identifier: Apache-2.0
"""``membuddies fingerprint``: what one live process or guest has to merge.

For an operator on a compute node. It reads the process as the agent would, and
neither stops nor changes it. It speaks to nobody but libvirt, read-only.
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import numpy as np

from membuddies_agent import domain, guests, procfs, scan
from membuddies_agent.errors import NoFingerprint
from membuddies_nova import exceptions
from membuddies_nova.cli import argument, report
from membuddies_nova.facts import Reason
from membuddies_nova.fingerprint import bloom, codec, page, seal
from membuddies_nova.fingerprint.sample import Sample

_NOTHING_TO_MERGE = {
    Reason.NOT_MERGEABLE,
    Reason.HUGE_PAGES,
    Reason.SHARED_MEMORY,
    Reason.PINNED,
    Reason.SHUT_OFF,
}
"""Reasons that answer the question; any other means that it failed."""

_NOTHING = {
    "pages": 0,
    "unique_pages": 0,
    "zero_pages": 0,
    "mergeable_bytes": 0,
    "present_bytes": 0,
    "items": 0,
    "wire_bytes": 0,
    "seconds": 0.0,
    "copy_fraction": 0.0,
}
_BLOOM_ERROR = 0.002
_PROGRESS_SECONDS = 0.5
_MB = 2**20


class Fingerprint(report.ReportCommand):
    """Fingerprint one live process or libvirt guest on this host.

    Reads the memory that KSM may merge and tells how many pages it has, how
    many differ, and how large its fingerprint is. Needs root.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        target = parser.add_mutually_exclusive_group(required=True)
        target.add_argument(
            "--pid",
            type=argument.whole_number(1, 2**22),
            help="process to read, such as a guest's QEMU",
        )
        target.add_argument(
            "--domain",
            metavar="NAME_OR_UUID",
            help="libvirt domain to read; a Nova instance's uuid is its domain's",
        )
        parser.add_argument(
            "--libvirt-uri",
            default="qemu:///system",
            help="where --domain is looked up, read-only (default: %(default)s)",
        )
        parser.add_argument(
            "--format",
            dest="fingerprint_format",
            choices=("sample", "list", "bloom"),
            default="sample",
            help="sample: what agents send (the default); list: every page; bloom: "
            "a Bloom filter of them with at most 0.2 %% false positives",
        )
        parser.add_argument(
            "--shift",
            type=argument.SHIFT,
            help="sample one of 2^SHIFT pages (default: the smallest from 6 that "
            "keeps at most 65536 pages); list and bloom always take all",
        )
        parser.add_argument(
            "--out",
            type=pathlib.Path,
            metavar="FILE",
            help="also write the page list (.npy) or the sealed fingerprint (.mbf, "
            "needs --key-file); its mode is 0600",
        )
        parser.add_argument(
            "--key-file",
            type=pathlib.Path,
            help="the cloud's secret key, hexadecimal, mode 0600",
        )
        return parser

    def answer(self, parsed_args: argparse.Namespace) -> Mapping[str, Any]:
        _check(parsed_args)
        key = (
            seal.KeyRing.from_file(parsed_args.key_file).first
            if parsed_args.key_file
            else None
        )
        try:
            process = _process(parsed_args)
            with _progress(sys.stderr) as progress:
                found = scan.scan(process, progress=progress)
        except NoFingerprint as error:
            if error.reason not in _NOTHING_TO_MERGE or parsed_args.out:
                raise
            return {**_NOTHING, "reason": error.reason.sentence}
        if parsed_args.out and parsed_args.out.suffix == ".npy":
            _write(parsed_args.out, lambda file: np.save(file, found.ids))
        sampled = parsed_args.fingerprint_format == "sample"
        sample = found.sample(parsed_args.shift if sampled else 0)
        # The size does not depend on the key: without one any will do.
        sealed = sample.sealed(key or seal.SealKey(os.urandom(32)))
        if parsed_args.fingerprint_format == "bloom":
            size, hashes = bloom.dimensions(len(sealed.items), _BLOOM_ERROR)
            body = codec.encode(bloom.BloomFilter.of_list(sealed, size, hashes))
        else:
            body = codec.encode(sealed)
        if parsed_args.out and parsed_args.out.suffix == ".mbf":
            _write(parsed_args.out, lambda file: file.write(body))
        return _answer(found, sample, len(body))

    def rendered(self, answer: Mapping[str, Any]) -> str:
        if answer["reason"]:
            return f"Nothing to merge: {answer['reason']}"
        rows = [
            (name, pages, pages * page.PAGE_SIZE / _MB)
            for name, pages in (
                ("mergeable mappings", answer["mergeable_bytes"] // page.PAGE_SIZE),
                ("present pages", answer["pages"]),
                ("unique pages", answer["unique_pages"]),
                ("zero pages", answer["zero_pages"]),
            )
        ]
        table = report.aligned(("", "pages", "MB"), rows)
        return (
            f"{table}\n\nFingerprint: {answer['items']} items in "
            f"{answer['wire_bytes']} bytes; scanned in {answer['seconds']:.2f} s, "
            f"{answer['copy_fraction']:.0%} of it reading memory"
        )


def _check(parsed_args: argparse.Namespace) -> None:
    """Refuse options that do not go together.

    :raises InputError: naming the option and what is allowed
    """
    if parsed_args.out is None:
        return
    if parsed_args.out.suffix not in (".npy", ".mbf"):
        raise exceptions.InputError(
            f"--out {parsed_args.out}: the file's name ends in .npy or .mbf"
        )
    if parsed_args.out.suffix == ".npy":
        return
    if parsed_args.key_file is None:
        raise exceptions.InputError(
            f"--out {parsed_args.out}: a .mbf file is sealed; name the key with "
            f"--key-file"
        )


def _process(parsed_args: argparse.Namespace) -> procfs.Process:
    """The process that is asked for.

    :raises InputError: if there is none
    :raises NoFingerprint: if the domain's memory does not merge
    """
    if parsed_args.pid is None:
        return _domain_process(parsed_args.domain, parsed_args.libvirt_uri)
    try:
        return procfs.process(parsed_args.pid)
    except NoFingerprint as error:
        raise exceptions.InputError(f"--pid {parsed_args.pid}: {error}") from None


def _domain_process(name: str, uri: str) -> procfs.Process:
    try:
        from membuddies_agent import libvirt_domains
    except ImportError:
        raise exceptions.InputError(
            "--domain needs libvirt-python: install membuddies-nova[agent], or use "
            "--pid"
        ) from None
    with contextlib.closing(
        libvirt_domains.LibvirtDomains(uri, on_change=lambda: None)
    ) as domains:
        listed = domains.list()
    for each in listed:
        if name in (each.name, each.uuid):
            return _guest_process(each)
    raise exceptions.InputError(
        f"--domain {name}: libvirt at {uri} has no domain of that name or uuid; "
        f"see 'virsh list --all'"
    )


def _guest_process(one: domain.Domain) -> procfs.Process:
    # Whoever asks for a guest by name means it, whether Nova's or paused.
    paused = one.state is domain.DomainState.PAUSED
    asked = dataclasses.replace(
        one, nova=True, state=domain.DomainState.RUNNING if paused else one.state
    )
    (guest,) = guests.guests([asked], procfs.qemu_processes(), procfs.ticks_ago(0))
    if guest.reason is not None:
        raise NoFingerprint(guest.reason)
    assert guest.process is not None, "a guest without a reason has a process"
    return guest.process


@contextlib.contextmanager
def _progress(stream: IO[str]) -> Iterator[Callable[[int, int], None] | None]:
    """Shows how far a scan is, if the stream is a terminal."""
    if not stream.isatty():
        yield None
        return
    shown_at = time.monotonic()

    def show(done_bytes: int, all_bytes: int) -> None:
        nonlocal shown_at
        now = time.monotonic()
        if now - shown_at >= _PROGRESS_SECONDS:
            shown_at = now
            stream.write(f"\r{done_bytes // _MB} of {all_bytes // _MB} MB\x1b[K")
            stream.flush()

    try:
        yield show
    finally:
        stream.write("\r\x1b[K")
        stream.flush()


def _write(path: pathlib.Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a whole file that only its owner reads, or none.

    :raises InputError: if it cannot be written there
    """
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            try:
                write(file)
                file.flush()
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise exceptions.InputError(f"--out {path}: {error.strerror}") from None


def _answer(found: scan.Scan, sample: Sample, wire_bytes: int) -> dict[str, Any]:
    counters = sample.counters
    return {
        "pages": counters.resident_pages,
        "unique_pages": counters.unique_pages,
        "zero_pages": counters.zero_pages,
        "mergeable_bytes": found.mergeable_bytes,
        "present_bytes": counters.resident_pages * page.PAGE_SIZE,
        "items": len(sample.items),
        "wire_bytes": wire_bytes,
        "seconds": round(found.seconds, 6),
        "copy_fraction": round(found.reading_seconds / found.seconds, 4),
        "reason": None,
    }
