# SPDX-License-Identifier: Apache-2.0
"""Snapshots refuse what cannot be, and cope with damaged rows."""

import dataclasses

import pytest

from membuddies_nova import exceptions
from membuddies_nova.cluster import Guest, Host
from membuddies_nova.fingerprint import codec
from membuddies_nova.fingerprint.seal import SealKey
from membuddies_nova.model.snapshot import ClusterSnapshot, snapshot_of
from tests.unit.model.clusters import sample_of

M0 = Host(name="m0", memory_mb=1024)


def guest(uuid, host="m0"):
    return Guest(uuid=uuid, name=uuid, memory_mb=1, host=host)


@pytest.mark.parametrize(
    ("hosts", "guests", "named"),
    [
        ((M0, M0), (), "'m0' is given twice"),
        ((M0,), (guest("a"), guest("b"), guest("a")), "'a' is given twice"),
        ((M0,), (guest("a", "m9"),), "host 'm9'"),
    ],
)
def test_a_snapshot_names_what_is_wrong_in_it(hosts, guests, named):
    with pytest.raises(exceptions.InputError, match=named):
        ClusterSnapshot(hosts=hosts, guests=guests, samples={})


def test_guests_stand_on_their_hosts_in_order():
    snapshot = ClusterSnapshot(
        hosts=(M0, Host(name="m1", memory_mb=1)),
        guests=(guest("b"), guest("c", None), guest("a")),
        samples={},
    )
    assert [each.uuid for each in snapshot.guests_on("m0")] == ["b", "a"]
    assert snapshot.guests_on("m1") == ()


def test_a_snapshot_is_thinned_where_it_is_finer():
    snapshot = ClusterSnapshot(
        hosts=(M0,),
        guests=(guest("a"), guest("b")),
        samples={"a": sample_of(range(4000)), "b": sample_of(range(4000), shift=5)},
    )
    shifts = {name: s.shift for name, s in snapshot.thinned(3).samples.items()}
    assert shifts == {"a": 3, "b": 5}


def test_rows_become_a_snapshot_without_guests_that_nobody_could_move():
    key = SealKey(bytes(range(32)))
    body = codec.encode(sample_of(range(100)).sealed(key))
    snapshot = snapshot_of(
        [M0],
        [guest("a"), guest("building", None), guest("stray", "m9"), guest("b")],
        {"a": body, "b": body[:-1], "stray": body, "gone": body},
    )
    assert [each.uuid for each in snapshot.guests] == ["a", "b"]
    assert list(snapshot.samples) == ["a"]
    assert snapshot.samples["a"].counters.unique_pages == 100
    assert snapshot.unreadable == ("b",)


@pytest.mark.parametrize(
    ("power_state", "known"),
    [(1, True), (3, True), (None, True), (4, False), (7, False)],
)
def test_a_guest_without_memory_is_there_without_its_last_fingerprint(
    power_state, known
):
    body = codec.encode(sample_of(range(100)).sealed(SealKey(bytes(range(32)))))
    off = dataclasses.replace(guest("a"), power_state=power_state)
    snapshot = snapshot_of([M0], [off], {"a": body})
    assert [each.uuid for each in snapshot.guests] == ["a"]
    assert ("a" in snapshot.samples) == known
