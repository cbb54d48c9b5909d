# SPDX-License-Identifier: Apache-2.0
"""Page classes: sampled pages, merged where the same guests hold them.

Guests of one image hold the same thousands of pages, so the pages of a cloud
fall into far fewer classes than there are pages. All that the model computes
is a sum over the classes of a guest. Pages that one guest alone holds are
never shared and have no class.

Sharing across the border of a partition (a trust scope) counts as nothing:
the same page in two partitions is two pages here.
"""

import dataclasses
import functools
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from membuddies_nova.fingerprint import page
from membuddies_nova.fingerprint.sample import Sample

Classes = npt.NDArray[np.int32]
"""Numbers of page classes, ascending."""
Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Pair = tuple[page.Ids, npt.NDArray[np.int32]]
Pairs = Iterator[Pair]

_TOKEN_SEED = 0x6D62
_NOBODY = np.empty(0, np.intp)
_SETS_AT_A_TIME = 64
_RANGE_ITEMS = 4_000_000
"""Items that are grouped at a time."""


@dataclasses.dataclass(frozen=True, eq=False)
class PageClasses:
    """Which guest holds which classes of pages.

    :ivar holders: sparse matrix, a row for each guest, a column for each class
        (CSR, float64), 1.0 where the guest holds the class's pages
    :ivar pages: for each class how many pages it stands for
    :ivar variance: for each class the variance of that number
    """

    holders: Any
    pages: Floats
    variance: Floats

    def of_guest(self, row: int) -> Classes:
        """The classes that a guest holds."""
        start, end = self.holders.indptr[row : row + 2]
        return self.holders.indices[start:end]

    def held_of(self, classes: Classes) -> Floats:
        """How many pages of some classes every guest holds."""
        guests, ends = self._guests
        parts = [
            guests[start:end]
            for start, end in zip(
                ends[classes].tolist(), ends[classes + 1].tolist(), strict=True
            )
        ]
        held: Floats = np.bincount(
            np.concatenate([_NOBODY, *parts]),
            np.repeat(self.pages[classes], list(map(len, parts))),
            minlength=self.holders.shape[0],
        ).astype(np.float64, copy=False)
        return held

    def held_of_each(self, sets: Sequence[Classes]) -> Floats:
        """How many pages of each of many sets of classes every guest holds.

        :returns: sets x guests
        """
        held = np.zeros((len(sets), self.holders.shape[0]))
        for start in range(0, len(sets), _SETS_AT_A_TIME):
            part = sets[start : start + _SETS_AT_A_TIME]
            weights = np.zeros((len(self), len(part)))
            for number, classes in enumerate(part):
                weights[classes, number] = self.pages[classes]
            held[start : start + len(part)] = (self.holders @ weights).T
        return held

    @functools.cached_property
    def _guests(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64]]:
        """The guests of every class, class after class, and where each begins."""
        columns = self.holders.tocsc()
        return columns.indices.astype(np.intp), columns.indptr.astype(np.int64)

    def __len__(self) -> int:
        return len(self.pages)


def page_classes(
    samples: Sequence[Sample | None], partitions: Sequence[Hashable]
) -> PageClasses:
    """Index the samples.

    Within a partition all samples count at the coarsest shift among them.

    :param samples: one for each guest, None for a guest that shares nothing
    :param partitions: for each guest, within what its sharing counts
    """
    members: dict[Hashable, list[int]] = {}
    for row, (sample, partition) in enumerate(zip(samples, partitions, strict=True)):
        if sample is not None:
            members.setdefault(partition, []).append(row)

    guests, classes, pages, variance = [], [], [], []
    known = 0
    for group in members.values():
        merged = [sample for row in group if (sample := samples[row]) is not None]
        shift = max(sample.shift for sample in merged)
        found = grouped(
            paired([sample.thinned(shift).model_items for sample in merged]),
            len(merged),
        )
        sizes, counts = found.sizes, found.counts
        guests.append(np.asarray(group, np.int32)[found.owners])
        classes.append(np.repeat(np.arange(known, known + len(sizes)), sizes))
        # Of pages kept with probability 2^-shift, see Estimate.
        scale = float(1 << shift)
        pages.append(counts * scale)
        variance.append(counts * scale * (scale - 1.0))
        known += len(counts)

    holders = scipy.sparse.csr_matrix(
        (
            np.ones(sum(map(len, guests))),
            (_joined(guests, np.int32), _joined(classes, np.int32)),
        ),
        shape=(len(samples), known),
    )
    holders.sort_indices()
    return PageClasses(
        holders, _joined(pages, np.float64), _joined(variance, np.float64)
    )


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Grouped:
    """Items that the same members hold, class by class; those of one left out.

    :ivar owners: the holders of every class, class after class
    :ivar sizes: how many holders each class has
    :ivar counts: how many items each class has
    :ivar items: all of them, ascending
    :ivar class_of: of each of these its class
    """

    owners: npt.NDArray[np.int32]
    sizes: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    items: page.Ids
    class_of: npt.NDArray[np.int64]


def paired(item_sets: Sequence[page.Ids], at_a_time: int = _RANGE_ITEMS) -> Pairs:
    """Each item with each member that holds it, range by range of the values.

    What is in memory beside the result stays small, and so do the sorts.

    :param item_sets: sorted; one of each member
    :param at_a_time: about how many pairs a range has
    :returns: of each range the items, ascending, and the member of each
    """
    numbers = np.arange(len(item_sets), dtype=np.int32)
    for part in _ranges(item_sets, at_a_time):
        items = np.concatenate([*part, np.empty(0, np.uint64)])
        owners = np.repeat(numbers, [len(each) for each in part])
        order = np.argsort(items)
        yield items[order], owners[order]


def grouped(pairs: Iterable[Pair], members: int) -> Grouped:
    """Group items by the set of their holders.

    :param pairs: as :func:`paired` makes them
    """
    # A set of holders is known by the sum of its members' random tokens: two
    # different sets meet with probability 2^-64.
    tokens = np.random.default_rng(_TOKEN_SEED).integers(
        0, 2**64, members, dtype=np.uint64
    )
    parts = [_part(items, owners, tokens) for items, owners in pairs]
    owners = _joined([part.owners for part in parts], np.int32)
    sizes = _joined([part.sizes for part in parts], np.int64)
    counts = _joined([part.counts for part in parts], np.int64)
    signatures = _joined([part.signatures for part in parts], np.uint64)
    known = np.cumsum([0, *(len(part.counts) for part in parts)])
    items = _joined([part.items for part in parts], np.uint64)
    classes = [
        part.class_of + start for part, start in zip(parts, known[:-1], strict=True)
    ]
    del parts
    _, first, same = np.unique(signatures, return_index=True, return_inverse=True)
    starts = np.cumsum(sizes) - sizes
    return Grouped(
        owners[spread(starts[first], sizes[first])],
        sizes[first],
        np.bincount(same, counts, minlength=len(first)).astype(np.int64),
        items,
        same[_joined(classes, np.int64)].astype(np.int64, copy=False),
    )


def _ranges(item_sets: Sequence[page.Ids], at_a_time: int) -> Iterator[list[page.Ids]]:
    """The sets, cut into ranges of values with few items each."""
    ends = [items[-1] for items in item_sets if len(items)]
    ranges = sum(map(len, item_sets)) // at_a_time + 1
    step = int(max(ends, default=np.uint64(0))) // ranges + 1
    edges = np.array([step * number for number in range(1, ranges)], np.uint64)
    cuts = [np.searchsorted(items, edges) for items in item_sets]
    for number in range(ranges):
        yield [
            items[
                cut[number - 1] if number else 0 : cut[number]
                if number + 1 < ranges
                else None
            ]
            for items, cut in zip(item_sets, cuts, strict=True)
        ]


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class _Part(Grouped):
    """Of a range of the values.

    :ivar signatures: of each class
    """

    signatures: page.Ids


def _part(
    items: page.Ids, owners: npt.NDArray[np.int32], tokens: npt.NDArray[np.uint64]
) -> _Part:
    starts = np.flatnonzero(np.concatenate(([True], items[1:] != items[:-1])))
    starts = starts[: len(items)]
    lengths = np.diff(np.append(starts, len(items)))
    starts, lengths = starts[lengths > 1], lengths[lengths > 1]
    shared = items[starts]
    owners = owners[spread(starts, lengths)]
    if not len(lengths):
        empty = np.empty(0, np.int64)
        return _Part(owners, empty, empty, shared, empty, np.empty(0, np.uint64))
    starts = np.cumsum(lengths) - lengths
    signatures, first, class_of, counts = np.unique(
        np.add.reduceat(tokens[owners], starts),
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    owners = owners[spread(starts[first], lengths[first])]
    return _Part(owners, lengths[first], counts, shared, class_of, signatures)


def spread(
    starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The positions of stretches, one stretch after another."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


def _joined(arrays: Sequence[npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *arrays]).astype(dtype, copy=False)
