# SPDX-License-Identifier: Apache-2.0
"""Tags: who has the key is believed, and only what he wrote."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from membuddies_nova.bus import tag
from membuddies_nova.bus.messages import MESSAGE_VERSION, Report
from membuddies_nova.exceptions import MessageError
from membuddies_nova.facts import HostFacts, Number
from membuddies_nova.fingerprint import seal

KEY, OTHER = (seal.SealKey(bytes([number]) * 32) for number in (1, 2))
RING = seal.KeyRing(KEY)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
messages = st.dictionaries(st.text(max_size=5), json_values, max_size=5)


def over_the_wire(message):
    return json.loads(json.dumps(message))


@given(messages)
def test_a_tag_holds_over_the_wire(message):
    sent = tag.tagged("report", message, KEY)
    proof = tag.check("report", over_the_wire(sent), RING)
    assert (proof.key_id, proof.tag) == (KEY.key_id.hex(), sent["tag"])


@given(messages, st.text(max_size=5), json_values)
def test_whatever_is_changed_added_or_removed_is_noticed(message, name, value):
    sent = tag.tagged("report", message, KEY)
    changed = {**sent, name: value}
    same = json.dumps(changed, sort_keys=True) == json.dumps(sent, sort_keys=True)
    if not same and name not in ("tag", "key_id", "body"):
        with pytest.raises(tag.ForgedError):
            tag.check("report", over_the_wire(changed), RING)
    for gone in message.keys() - {"tag", "key_id", "body"}:
        rest = {key: sent[key] for key in sent if key != gone}
        with pytest.raises(tag.ForgedError):
            tag.check("report", rest, RING)


def test_a_message_is_an_answer_to_one_question_only():
    sent = tag.tagged("report", {"host": "h1"}, KEY)
    with pytest.raises(tag.ForgedError):
        tag.check("store", sent, RING)


def test_a_key_that_is_not_valid_here_is_named():
    sent = tag.tagged("report", {"host": "h1"}, OTHER)
    with pytest.raises(tag.UnknownKeyError, match=OTHER.key_id.hex()):
        tag.check("report", sent, RING)


def test_while_the_key_changes_both_are_believed():
    both = seal.KeyRing(OTHER, KEY)
    for key in (KEY, OTHER):
        sent = tag.tagged("report", {"host": "h1"}, key)
        assert tag.check("report", sent, both).key_id == key.key_id.hex()


def test_a_tag_made_with_another_key_is_forged():
    sent = tag.tagged("report", {"host": "h1"}, OTHER)
    with pytest.raises(tag.ForgedError):
        tag.check("report", {**sent, "key_id": KEY.key_id.hex()}, RING)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tag": None}, "tag"),
        ({"tag": "0" * 31}, "tag"),
        ({"tag": "Z" * 32}, "tag"),
        ({"key_id": 7}, "key_id"),
        ({"key_id": "ü" * 16}, "key_id"),
    ],
)
def test_what_is_no_tag_is_refused_by_name(changes, field):
    sent = tag.tagged("report", {"host": "h1"}, KEY)
    with pytest.raises(MessageError) as error:
        tag.check("report", {**sent, **changes}, RING)
    assert error.value.field == field


def test_the_secret_is_not_in_the_message():
    sent = json.dumps(tag.tagged("report", {"host": "h1"}, KEY))
    assert "01" * 8 not in sent


@pytest.mark.parametrize("version", [MESSAGE_VERSION - 1, MESSAGE_VERSION + 1])
def test_the_tag_of_a_neighbour_version_is_checked_over_all_that_it_wrote(version):
    message = Report(
        host="h1",
        number=Number(1, 1),
        guests=(),
        facts=HostFacts(mem_total_bytes=2, mem_available_bytes=1),
        sent_at=1.5,
    ).to_json()
    sent = tag.tagged("report", {**message, "version": version, "news": [1.5]}, KEY)
    received = over_the_wire(sent)
    tag.check("report", received, RING)
    with pytest.raises(tag.ForgedError):
        tag.check("report", {**received, "news": []}, RING)
