# SPDX-License-Identifier: Apache-2.0
import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from membuddies_nova import exceptions
from membuddies_nova.fingerprint import page, seal
from tests.unit.fingerprint.strategies import KEY


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_a_sealed_item_is_the_keyed_hash_with_the_level_in_its_low_bits(ids):
    array = np.array(ids, np.uint64)
    expected = []
    for number in ids:
        digest = hashlib.blake2b(
            number.to_bytes(8, "little"),
            digest_size=8,
            key=bytes(range(32)),
            person=b"membuddies-item",
        ).digest()
        level = min(64 - number.bit_length(), 63)
        expected.append((int.from_bytes(digest, "little") & ~0x3F) | level)
    sealed = KEY.seal(array)
    assert sealed.tolist() == expected
    assert seal.sealed_levels(sealed).tolist() == page.levels(array).tolist()


def test_different_keys_share_no_item_and_no_key_id():
    other = seal.SealKey(bytes(range(1, 33)))
    ids = np.arange(1, 1000, dtype=np.uint64)
    assert not np.isin(KEY.seal(ids), other.seal(ids)).any()
    assert KEY.key_id != other.key_id


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "seal.key"
    path.write_text(bytes(range(32)).hex() + "\n")
    path.chmod(0o600)
    return path


def test_a_key_file_of_its_owner_alone_is_read(key_file):
    assert seal.KeyRing.from_file(key_file).key_ids == (KEY.key_id,)


def test_the_key_never_shows_in_a_text(key_file):
    assert bytes(range(32)).hex() not in repr(seal.KeyRing.from_file(key_file))


def test_a_missing_key_file_is_named_with_the_way_to_make_one(tmp_path):
    with pytest.raises(exceptions.ConfigurationError, match=r"absent.*openssl rand"):
        seal.KeyRing.from_file(tmp_path / "absent")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_key_file_that_others_may_use_is_refused(key_file, mode):
    key_file.chmod(mode)
    with pytest.raises(exceptions.ConfigurationError, match=rf"{mode:04o}.*chmod 0600"):
        seal.KeyRing.from_file(key_file)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("00" * 31, "has 31"),
        ("00" * 65, "has 65"),
        ("", "one key is expected"),
        ("00" * 32 + "\n" + "11" * 31, "key 2: a seal key.*has 31"),
        ("00" * 32 + "\n" + "1" * 63, "key 2 is not hexadecimal"),
        (f"{'00' * 32}\n" * 3, "one key is expected, or two"),
        ("00" * 600, "one key is expected"),
        ("nokey", "not hexadecimal"),
        ("é", "not hexadecimal"),
    ],
)
def test_what_is_no_key_is_refused(key_file, text, problem):
    key_file.write_text(text)
    with pytest.raises(exceptions.ConfigurationError, match=problem):
        seal.KeyRing.from_file(key_file)


def test_the_first_of_two_keys_seals_and_the_other_is_known(key_file):
    other = seal.SealKey(b"x" * 32)
    key_file.write_text(f"{(b'x' * 32).hex()}\n{bytes(range(32)).hex()}\n")
    ring = seal.KeyRing.from_file(key_file)
    assert ring.key_ids == (other.key_id, KEY.key_id)
    assert ring.find(KEY.key_id) is ring.other
    assert ring.find(other.key_id) is ring.first
    assert ring.find(bytes(8)) is None


def test_a_key_file_that_changes_is_read_again_and_a_bad_one_keeps_the_last(key_file):
    watched = seal.KeyFile(key_file)
    assert not watched.refresh()
    key_file.write_text("11" * 32)
    assert watched.refresh()
    now = watched.ring
    assert now.key_ids == (seal.SealKey(b"\x11" * 32).key_id,)
    for spoil in (
        lambda: key_file.write_text("11" * 31),
        lambda: key_file.chmod(0o644),
        key_file.unlink,
    ):
        spoil()
        with pytest.raises(exceptions.ConfigurationError):
            watched.refresh()
        assert watched.ring is now


def test_two_keys_that_change_places_are_a_change(key_file):
    first, second = "11" * 32, "22" * 32
    key_file.write_text(f"{first}\n{second}\n")
    watched = seal.KeyFile(key_file)
    key_file.write_text(f"{second}\n{first}\n")
    assert watched.refresh()


@given(st.binary(max_size=200))
def test_a_tag_is_the_keyed_hash_of_the_message(message):
    expected = hashlib.blake2b(
        message, digest_size=16, key=bytes(range(32)), person=b"membuddies-tag"
    )
    assert KEY.tag(message) == expected.digest()
    assert KEY.tag(message) != seal.SealKey(bytes(32)).tag(message)
