# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from membuddies_nova import exceptions, facts
from membuddies_nova.cluster import KsmState

FACTS = facts.HostFacts(
    mem_total_bytes=2**34,
    mem_available_bytes=2**33,
    memory_pressure=0.25,
    thp="madvise",
    ksm=facts.KsmFacts(state=KsmState.MANAGED, run=0, pages_sharing=7, smart_scan=1),
)


def test_facts_survive_the_bus():
    assert facts.HostFacts.from_json(json.loads(json.dumps(FACTS.to_json()))) == FACTS


def test_keys_of_a_newer_agent_are_ignored():
    value = FACTS.to_json() | {"invented_later": 1}
    value["ksm"] |= {"advisor": "scan-time"}
    assert facts.HostFacts.from_json(value) == FACTS


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"mem_total_bytes": -1}, "facts.mem_total_bytes"),
        ({"mem_total_bytes": "much"}, "facts.mem_total_bytes"),
        ({"mem_total_bytes": True}, "facts.mem_total_bytes"),
        ({"mem_total_bytes": None}, "facts.mem_total_bytes"),
        ({"mem_available_bytes": 2**63}, "facts.mem_available_bytes"),
        ({"memory_pressure": float("nan")}, "facts.memory_pressure"),
        ({"thp": "x" * 256}, "facts.thp"),
        ({"thp": 3}, "facts.thp"),
        ({"ksm": []}, "facts.ksm"),
        ({"ksm": None}, "facts.ksm"),
        ({"ksm": {"state": "brilliant"}}, "facts.ksm.state"),
        ({"ksm": {"state": ["off"]}}, "facts.ksm.state"),
        ({"ksm": {"run": -1}}, "facts.ksm.run"),
        ({"ksm": {"run": 0.5}}, "facts.ksm.run"),
    ],
)
def test_a_fact_that_cannot_be_true_is_named(change, field):
    with pytest.raises(exceptions.MessageError) as caught:
        facts.HostFacts.from_json(FACTS.to_json() | change)
    assert caught.value.field == field


def test_a_missing_memory_size_is_named():
    with pytest.raises(exceptions.MessageError, match="mem_available_bytes"):
        facts.HostFacts.from_json({"mem_total_bytes": 1})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([f.name for f in dataclasses.fields(facts.HostFacts)])
            | st.sampled_from([f.name for f in dataclasses.fields(facts.KsmFacts)]),
            inner,
            max_size=6,
        )
    ),
)


@given(json_values)
def test_any_value_is_facts_or_raises_our_error(value):
    try:
        read = facts.HostFacts.from_json(value)
    except exceptions.MessageError:
        return
    assert facts.HostFacts.from_json(read.to_json()) == read


def test_every_reason_has_a_sentence():
    assert all(reason.sentence for reason in facts.Reason)


def test_a_number_after_a_restart_of_the_agent_is_newer():
    assert facts.Number(2, 0) > facts.Number(1, 9) > facts.Number(1, 8)
