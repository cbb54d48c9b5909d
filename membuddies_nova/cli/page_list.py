# SPDX-License-Identifier: Apache-2.0
"""Files that hold a guest's pages: page lists and fingerprints.

A page list has one id for each page, repeats and zero pages kept: ``.npy`` of
uint64 XXH3-64 ids with seed 0, or, as the original project wrote them, 32-bit
hashes in ``.npy`` of uint32 or ``.txt``. ``.mbf`` is a sealed fingerprint.
"""

import dataclasses
import os
import pathlib
import stat
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import xxhash

from membuddies_nova import exceptions
from membuddies_nova.fingerprint import codec, page
from membuddies_nova.fingerprint.bloom import BloomFilter
from membuddies_nova.fingerprint.formats import Fingerprint
from membuddies_nova.fingerprint.sample import Sample

SUPERFASTHASH_ZERO_PAGE = 0xB5E723DC
"""SuperFastHash (Paul Hsieh) of 4096 zero bytes: the original's zero page."""

_FINGERPRINT = ".mbf"
_SUFFIXES = (".npy", ".txt", _FINGERPRINT)


@dataclasses.dataclass(frozen=True, slots=True)
class PageList:
    """One id for each page.

    :ivar zero_id: the id of the zero page in this list
    """

    ids: page.Ids
    zero_id: int

    def sample(self, shift: int) -> Sample:
        return Sample.of_pages(self.ids, shift=shift, zero_id=self.zero_id)


def is_fingerprint(path: pathlib.Path) -> bool:
    """Whether a file holds a sealed fingerprint rather than a page list."""
    return path.suffix == _FINGERPRINT


def page_count(path: pathlib.Path) -> int:
    """How many pages a page list has, without keeping it in memory.

    :raises InputError: for a file that is no page list
    """
    return len(_values(path))


def read_page_list(path: pathlib.Path, zero_id: int | None = None) -> PageList:
    """Read a page list; 32-bit hashes are widened to well-mixed ids.

    :param zero_id: what the file has for a zero page, None for its usual one
    :raises InputError: for a file that is no page list, naming the line or what
        is wrong with the array
    """
    values = _values(path)
    if values.dtype == np.uint64:
        zero = page.zero_page_id() if zero_id is None else zero_id
        return PageList(np.array(values), zero)
    zero = SUPERFASTHASH_ZERO_PAGE if zero_id is None else zero_id
    if zero >= 2**32:
        raise exceptions.InputError(
            f"{path}: --zero-id {zero} does not fit its 32-bit hashes; use a number "
            f"below {2**32}"
        )
    distinct, where = np.unique(values, return_inverse=True)
    ids = _widened(distinct.astype(np.uint64))[where]
    return PageList(ids, int(_widened(np.array([zero], np.uint64))[0]))


def read_fingerprint(path: pathlib.Path) -> Sample:
    """Read a ``.mbf`` file that holds a sample or list.

    :raises InputError: for any other file
    """
    found = read_any(path)
    if isinstance(found, BloomFilter):
        raise exceptions.InputError(
            f"{path}: holds a Bloom filter; only `membuddies sharing --format bloom` "
            f"takes it"
        )
    return found


def read_any(path: pathlib.Path) -> Sample | BloomFilter:
    """Read a ``.mbf`` file of any format.

    Its header is looked at before the rest is read.

    :raises InputError: for any other file
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise exceptions.InputError(f"{path}: is no regular file")
            head = file.read(codec.HEADER_BYTES)
            announced = codec.announced_bytes(head, max_items=codec.MAX_LIST_ITEMS)
            if announced != found.st_size:
                raise exceptions.FingerprintError(
                    f"the file has {found.st_size} bytes where its header announces "
                    f"{announced}"
                )
            data = head + file.read(announced - len(head))
        return codec.decode_any(data, max_items=codec.MAX_LIST_ITEMS)
    except OSError as error:
        raise _unreadable(path, error) from None
    except exceptions.FingerprintError as error:
        raise exceptions.InputError(f"{path}: {error}") from None


def read_sample(path: pathlib.Path, shift: int, zero_id: int | None = None) -> Sample:
    """Read a file of either kind as a sample.

    :param shift: a fingerprint that is coarser already stays as it is
    :raises InputError: for a file that holds no guest's pages
    """
    if is_fingerprint(path):
        sample = read_fingerprint(path)
        return sample.thinned(max(shift, sample.shift))
    return read_page_list(path, zero_id).sample(shift)


def check_together(fingerprints: Mapping[str, Fingerprint]) -> None:
    """Refuse files that cannot be compared with each other.

    :param fingerprints: by file name
    :raises InputError: if page lists stand beside fingerprints, or fingerprints
        of different keys or seeds beside each other
    """
    first: tuple[str, Fingerprint] | None = None
    for name, sample in fingerprints.items():
        if first is None:
            first = name, sample
        elif sample.is_sealed != first[1].is_sealed:
            raise exceptions.InputError(
                f"{name}: a page list and a sealed fingerprint ({first[0]}) cannot be "
                f"compared; give files of one kind"
                if first[1].is_sealed
                else f"{name}: a sealed fingerprint and a page list ({first[0]}) "
                f"cannot be compared; give files of one kind"
            )
        elif (sample.key_id, sample.seed) != (first[1].key_id, first[1].seed):
            raise exceptions.InputError(
                f"{name}: sealed under key {sample.key_id.hex()} with seed "
                f"{sample.seed}, but {first[0]} under key {first[1].key_id.hex()} "
                f"with seed {first[1].seed}; only one key and seed can be compared"
            )


def _values(path: pathlib.Path) -> npt.NDArray[np.uint64] | npt.NDArray[np.uint32]:
    """What a page list holds, as ids or 32-bit hashes."""
    try:
        if path.suffix == ".npy":
            values = _array(path)
        elif path.suffix == ".txt":
            values = _lines(path)
        else:
            raise exceptions.InputError(
                f"{path}: unknown kind of file; allowed are {', '.join(_SUFFIXES)}"
            )
    except OSError as error:
        raise _unreadable(path, error) from None
    if not len(values):
        raise exceptions.InputError(f"{path}: holds no page")
    return values


def _array(path: pathlib.Path) -> npt.NDArray[np.uint64] | npt.NDArray[np.uint32]:
    try:
        # Mapped: a header that promises more than the file holds is refused
        # before anything is allocated for it.
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it ends early"
        raise exceptions.InputError(f"{path}: no .npy file: {reason}") from None
    if values.ndim != 1 or values.dtype.kind != "u" or values.itemsize not in (4, 8):
        raise exceptions.InputError(
            f"{path}: {values.ndim}-dimensional {values.dtype} array; allowed are "
            f"one-dimensional uint64 ids and uint32 hashes"
        )
    wide = np.uint64 if values.itemsize == 8 else np.uint32
    return values.astype(wide, copy=False)


def _lines(path: pathlib.Path) -> npt.NDArray[np.uint32]:
    hashes = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            digits = line.strip()
            if not digits.isdigit() or len(digits) > 10 or int(digits) >= 2**32:
                shown = digits[:20].decode("ascii", "replace")
                raise exceptions.InputError(
                    f"{path}: line {number}: {shown!r} is not a decimal number from 0 "
                    f"to {2**32 - 1}"
                )
            hashes.append(int(digits))
    return np.array(hashes, np.uint32)


def _widened(hashes: npt.NDArray[np.uint64]) -> page.Ids:
    """XXH3-64 of each value as 8 bytes: sampling needs 64 well-mixed bits."""
    raw = hashes.astype("<u8").tobytes()
    return np.fromiter(
        (
            xxhash.xxh3_64_intdigest(raw[start : start + 8])
            for start in range(0, len(raw), 8)
        ),
        dtype=np.uint64,
        count=len(hashes),
    )


def _unreadable(path: pathlib.Path, error: OSError) -> exceptions.InputError:
    return exceptions.InputError(f"{path}: {error.strerror or error}")
