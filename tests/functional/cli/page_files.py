# SPDX-License-Identifier: Apache-2.0
"""Page lists, fingerprints and scenarios in files, for tests."""

import json
import pathlib
from collections.abc import Iterable

import numpy as np

from membuddies_nova.fingerprint import codec, page
from membuddies_nova.fingerprint.bloom import BloomFilter
from membuddies_nova.fingerprint.sample import Sample
from membuddies_nova.fingerprint.seal import SealKey
from tests.unit.model.clusters import page_ids

KEY = SealKey(bytes(range(32)))


def write_list(
    path: pathlib.Path, numbers: Iterable[int], zeros: int = 0
) -> pathlib.Path:
    """A page list: these pages, repeats kept, and zero pages."""
    ids = page_ids(np.fromiter(numbers, np.uint64))
    zero = np.full(zeros, page.zero_page_id(), np.uint64)
    np.save(path, np.concatenate((ids, zero)))
    return path


def write_fingerprint(
    path: pathlib.Path, numbers: Iterable[int], shift: int = 6, key: SealKey = KEY
) -> pathlib.Path:
    ids = page_ids(np.fromiter(numbers, np.uint64))
    path.write_bytes(codec.encode(Sample.of_pages(ids, shift=shift).sealed(key)))
    return path


def write_filter(
    path: pathlib.Path,
    numbers: Iterable[int],
    size: int = 2**18,
    hashes: int = 9,
    key: SealKey = KEY,
) -> pathlib.Path:
    """A sealed Bloom filter of every page."""
    ids = page_ids(np.fromiter(numbers, np.uint64))
    pages = Sample.of_pages(ids, shift=0).sealed(key)
    path.write_bytes(codec.encode(BloomFilter.of_list(pages, size, hashes)))
    return path


def write_scenario(directory: pathlib.Path, **changes: object) -> pathlib.Path:
    """Two hosts and three guests; a shares everything with b and c."""
    for name in "abc":
        write_list(directory / f"{name}.npy", range(512))
    value = {
        "format": 1,
        "hosts": [{"name": name, "memory_mb": 64} for name in ("m0", "m1")],
        "guests": [
            {"name": name, "memory_mb": 4, "host": host, "fingerprint": f"{name}.npy"}
            for name, host in (("a", "m0"), ("b", "m1"), ("c", "m1"))
        ],
    }
    path = directory / "scenario.json"
    path.write_text(json.dumps({**value, **changes}))
    return path
