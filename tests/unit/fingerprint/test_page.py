# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from membuddies_nova.fingerprint import page


@given(
    st.lists(st.binary(min_size=1, max_size=9), max_size=5), st.integers(0, 2**64 - 1)
)
def test_ids_are_those_of_the_xxhash_package(contents, seed):
    pages = [(c * page.PAGE_SIZE)[: page.PAGE_SIZE] for c in contents]
    assert page.page_ids(b"".join(pages), seed).tolist() == [
        xxhash.xxh3_64(content, seed).intdigest() for content in pages
    ]


def test_a_part_of_a_page_is_refused():
    with pytest.raises(ValueError, match="4097 bytes are not whole pages"):
        page.page_ids(bytes(4097))


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_the_level_is_the_count_of_leading_zeros_up_to_63(ids):
    assert page.levels(np.array(ids, np.uint64)).tolist() == [
        min(64 - i.bit_length(), 63) for i in ids
    ]


@pytest.mark.parametrize("bit", range(64))
def test_levels_are_exact_on_both_sides_of_each_power_of_two(bit):
    ids = np.array([2**bit, 2 ** (bit + 1) - 1], np.uint64)
    assert page.levels(ids).tolist() == [63 - bit, 63 - bit]
