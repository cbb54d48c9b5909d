# SPDX-License-Identifier: Apache-2.0
"""Values survive their way through JSON, and newer releases' keys do no harm."""

import dataclasses
import json

from hypothesis import given
from hypothesis import strategies as st

from membuddies_nova.cluster import Aggregate, Guest, Host, ServerGroup
from membuddies_nova.db import values
from membuddies_nova.facts import GuestFacts, Reason
from membuddies_nova.plan import Goal, HostUse, Move, Plan, Unplaced, Verdict

texts = st.text(max_size=12)
numbers = st.floats(0, 1e9)
words = st.dictionaries(texts, texts, max_size=3)
aggregates = st.builds(Aggregate, name=texts, metadata=words)
hosts = st.builds(
    Host,
    name=texts,
    memory_mb=st.integers(0, 2**40),
    ram_allocation_ratio=numbers,
    aggregates=st.lists(aggregates, max_size=3).map(tuple),
    zone=st.none() | texts,
    pressure=st.none(),
    available_mb=st.none(),
)
guests = st.builds(
    Guest,
    uuid=texts,
    name=texts,
    memory_mb=st.integers(0, 2**40),
    group=st.none() | st.builds(ServerGroup, name=texts, policy=texts),
    hints=words,
    metadata=words,
    extra_specs=words,
    age_seconds=st.none(),
    last_moved_seconds=st.none(),
)
moves = st.builds(
    Move,
    wave=st.integers(1, 9),
    guest=texts,
    source=st.none() | texts,
    destination=texts,
    gain_mb=numbers,
    error_mb=numbers,
    copy_mb=numbers,
    reason=texts,
    checks=st.lists(texts, max_size=3).map(tuple),
)
uses = st.dictionaries(
    texts,
    st.builds(HostUse, pages=numbers, guests=st.lists(texts, max_size=3).map(tuple)),
    max_size=3,
)
plans = st.builds(
    Plan,
    strategy=texts,
    goal=st.sampled_from(Goal),
    scope=texts,
    shift=st.integers(0, 63),
    before=uses,
    after=uses,
    moves=st.lists(moves, max_size=3).map(tuple),
    unplaced=st.lists(st.builds(Unplaced, guest=texts, reason=texts), max_size=2).map(
        tuple
    ),
    hosts_freed=st.lists(texts, max_size=2).map(tuple),
    verdict=st.sampled_from(Verdict),
    why=texts,
    placed_mb=numbers,
)
reported = st.builds(
    GuestFacts,
    uuid=texts,
    counter=st.none() | st.integers(0),
    scanned_at=st.none() | numbers,
    reason=st.none() | st.sampled_from(Reason),
    change_fraction_per_hour=st.none() | numbers,
)


def through_json(value):
    return json.loads(json.dumps(value))


def of_a_newer_release(value):
    return {**through_json(value), "a_newer_fact": {"of": ["its", "own"]}}


@given(hosts)
def test_a_host_survives(host):
    facts = of_a_newer_release(values.host_to_json(host))
    assert values.host_from_json(facts, ksm=host.ksm) == host


@given(guests)
def test_a_guest_survives(guest):
    facts = of_a_newer_release(values.guest_to_json(guest))
    found = values.guest_from_json(facts, uuid=guest.uuid, host=guest.host)
    assert found == guest


@given(plans)
def test_a_plan_survives_to_the_last_digit(plan):
    stored = of_a_newer_release(dataclasses.asdict(plan))
    assert values.plan_from_json(stored) == plan


@given(reported)
def test_a_guests_line_of_a_report_survives(facts):
    stored = of_a_newer_release(dataclasses.asdict(facts))
    assert values.guest_facts_from_json(stored) == facts


def test_facts_of_an_older_release_get_their_defaults():
    host = values.host_from_json({"name": "h1", "memory_mb": 1})
    assert host == Host(name="h1", memory_mb=1)
    guest = values.guest_from_json({"name": "g", "memory_mb": 1}, uuid="u", host=None)
    assert guest == Guest(uuid="u", name="g", memory_mb=1)
