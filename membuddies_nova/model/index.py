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
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from membuddies_nova.fingerprint.sample import Sample

Classes = npt.NDArray[np.int32]
"""Numbers of page classes, ascending."""
Floats = npt.NDArray[np.float64]

_TOKEN_SEED = 0x6D62


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
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

    rows, columns, pages, variance = [], [], [], []
    known = 0
    for group in members.values():
        merged = [sample for row in group if (sample := samples[row]) is not None]
        shift = max(sample.shift for sample in merged)
        owners, classes, counts = _classes(
            [sample.thinned(shift).model_items for sample in merged]
        )
        rows.append(np.asarray(group, np.int32)[owners])
        columns.append(classes + known)
        # Of pages kept with probability 2^-shift, see Estimate.
        scale = float(1 << shift)
        pages.append(counts * scale)
        variance.append(counts * scale * (scale - 1.0))
        known += len(counts)

    holders = scipy.sparse.csr_matrix(
        (np.ones(sum(map(len, rows))), (_joined(rows), _joined(columns))),
        shape=(len(samples), known),
    )
    holders.sort_indices()
    return PageClasses(holders, _joined(pages), _joined(variance))


def _classes(
    item_sets: Sequence[npt.NDArray[np.uint64]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Group items by the set of their holders, those with one holder left out.

    :returns: pairs of holder and class as two arrays; the items in each class
    """
    items = np.concatenate(item_sets)
    owners = np.repeat(np.arange(len(item_sets)), [len(each) for each in item_sets])
    order = np.argsort(items, kind="stable")
    items, owners = items[order], owners[order]
    starts = np.flatnonzero(np.concatenate(([True], items[1:] != items[:-1])))
    starts = starts[: len(items)]
    lengths = np.diff(np.append(starts, len(items)))

    shared = lengths > 1
    owners = owners[np.repeat(shared, lengths)]
    lengths = lengths[shared]
    if not len(lengths):
        empty = np.empty(0, np.int64)
        return empty, empty, empty
    starts = np.cumsum(lengths) - lengths

    # A set of holders is known by the sum of its members' random tokens: two
    # different sets meet with probability 2^-64.
    tokens = np.random.default_rng(_TOKEN_SEED).integers(
        0, 2**64, len(item_sets), dtype=np.uint64
    )
    signatures = np.add.reduceat(tokens[owners], starts)
    _, first, counts = np.unique(signatures, return_index=True, return_counts=True)
    sizes = lengths[first]
    classes = np.repeat(np.arange(len(first)), sizes)
    within = np.arange(len(classes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return owners[np.repeat(starts[first], sizes) + within], classes, counts


def _joined(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.empty(0)
