# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for page lists and samples."""

import numpy as np
from hypothesis import strategies as st

from membuddies_nova.fingerprint import bloom, page, sample, seal

KEY = seal.SealKey(bytes(range(32)))

_POOL = page.page_ids(
    np.random.default_rng(7).integers(0, 256, 400 * page.PAGE_SIZE, np.uint8)
)
# Half of the pool gets leading zeros, so that samples of it are not empty.
POOL = np.concatenate([_POOL[:200], _POOL[200:] >> np.uint64(7)])

page_lists = st.lists(
    st.one_of(st.sampled_from(POOL.tolist()), st.just(page.zero_page_id())),
    max_size=300,
).map(lambda ids: np.array(ids, np.uint64))

shifts = st.integers(0, 12)


@st.composite
def sealed_samples(draw: st.DrawFn) -> sample.Sample:
    shift = draw(shifts)
    value = sample.Sample.of_pages(draw(page_lists), shift=shift)
    if draw(st.booleans()):
        value = value.with_stability(
            sample.Sample.of_pages(draw(page_lists), shift=shift)
        )
    return value.sealed(KEY)


@st.composite
def sealed_filters(draw: st.DrawFn) -> bloom.BloomFilter:
    pages = sample.Sample.of_pages(draw(page_lists), shift=0).sealed(KEY)
    return bloom.BloomFilter.of_list(
        pages, draw(st.integers(64, 2000)), draw(st.integers(1, 20))
    )


fingerprints = st.one_of(sealed_samples(), sealed_filters())
"""Of every format."""
