# SPDX-License-Identifier: Apache-2.0
"""A board that was kept up to date is, byte for byte, one made from nothing."""

import dataclasses
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from membuddies_nova.cluster import Guest, Host, Scope
from membuddies_nova.fingerprint.seal import SealKey
from membuddies_nova.model import profiles
from membuddies_nova.model.board import BoardWriter, board_of
from membuddies_nova.model.profiles import Learner, learn
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.scoreboard import codec
from tests.unit.model.clusters import sample_of

NAMES = [str(uuid.UUID(int=number)) for number in range(1, 8)]
HOSTS = [Host(name=f"m{number}", memory_mb=65536) for number in range(4)]
KEYS = [SealKey(bytes([number] * 32)) for number in range(2)]

_samples = st.builds(
    lambda pages, shift, key: sample_of(pages, shift=shift).sealed(KEYS[key]),
    st.sets(st.integers(0, 60), max_size=50),
    st.sampled_from([0, 0, 0, 1]),
    st.sampled_from([0, 0, 0, 0, 1]),
)
_guests = st.builds(
    lambda host, image, version, project, age_seconds, power_state: Guest(
        uuid="",
        name="",
        memory_mb=1024,
        host=host,
        image=image,
        os_distro="debian",
        os_version=version,
        project=project,
        age_seconds=age_seconds,
        power_state=power_state,
    ),
    st.none() | st.sampled_from([host.name for host in HOSTS[:3]]),
    st.sampled_from(["i1", "i2"]),
    st.sampled_from(["12", None]),
    st.sampled_from(["p1", "p1", "p1", "p2"]),
    st.sampled_from([5.0, 60.0, 5000.0]),
    st.sampled_from([1, 1, 4]),
)
_names = st.sampled_from(NAMES)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("guest"), _names, _guests),
        st.tuples(st.just("sample"), _names, _samples),
        st.tuples(st.just("sample"), _names, _samples),
        st.tuples(st.just("gone"), _names, st.none()),
        st.tuples(st.just("no sample"), _names, st.none()),
        st.tuples(st.just("hosts"), _names, st.sampled_from([3, 4])),
    ),
    min_size=1,
    max_size=10,
)


class Cloud:
    """A cloud of which one thing changes after another."""

    def __init__(self, guests, samples):
        self.hosts = HOSTS[:3]
        self.guests = dict(guests)
        self.samples = dict(samples)
        self.seen = ()

    def change(self, what, name, value):
        if what == "guest":
            self.guests[name] = value
        elif what == "sample":
            self.samples[name] = value
        elif what == "gone":
            self.guests.pop(name, None)
        elif what == "no sample":
            self.samples.pop(name, None)
        else:
            self.hosts = HOSTS[:value]

    def snapshot(self):
        found = tuple(
            dataclasses.replace(self.guests[name], uuid=name, name=name)
            for name in sorted(self.guests)
        )
        # The same tuple while nothing but fingerprints changes.
        self.seen = self.seen if found == self.seen else found
        return ClusterSnapshot(
            hosts=tuple(self.hosts),
            guests=self.seen,
            samples={
                name: sample
                for name, sample in self.samples.items()
                if name in self.guests
            },
        )


@pytest.mark.parametrize("scope", [Scope.PROJECT, Scope.GLOBAL])
@settings(max_examples=50, deadline=None)
@given(
    guests=st.dictionaries(_names, _guests, min_size=3),
    samples=st.dictionaries(_names, _samples, min_size=3),
    steps=_steps,
)
def test_every_change_gives_the_board_made_from_nothing(scope, guests, samples, steps):
    cloud = Cloud(guests, samples)
    learner, writer = Learner(scope), BoardWriter(scope)
    for step in (None, *steps):
        if step is not None:
            cloud.change(*step)
        now = cloud.snapshot()
        kept = codec.encode(writer.write(now, learner.learn(now)))
        assert kept == codec.encode(board_of(now, learn(now, scope), scope))


def of_one_scope():
    guests = {
        name: Guest(uuid="", name="", memory_mb=1, host="m0", project="p1")
        for name in NAMES
    }
    return Cloud(guests, {name: sample_of(range(50)) for name in NAMES})


def test_one_changed_fingerprint_is_counted_alone(monkeypatch):
    cloud = of_one_scope()
    learner = Learner(Scope.PROJECT)
    learner.learn(cloud.snapshot())
    assert (learner.counted_anew, learner.changed) == (1, 0)
    cloud.change("sample", NAMES[0], sample_of(range(10, 60)))
    monkeypatch.setattr(profiles, "Partition", None)
    learner.learn(cloud.snapshot())
    assert (learner.counted_anew, learner.changed) == (0, 1)


def test_nothing_is_computed_where_nothing_changed():
    cloud = Cloud(
        {NAMES[0]: Guest(uuid="", name="", memory_mb=1, host="m0")},
        {NAMES[0]: sample_of(range(50))},
    )
    learner = Learner(Scope.PROJECT)
    assert learner.learn(cloud.snapshot()) is learner.learn(cloud.snapshot())


def test_a_count_that_fails_leaves_nothing_wrong_behind(monkeypatch):
    cloud = of_one_scope()
    learner = Learner(Scope.PROJECT)
    learner.learn(cloud.snapshot())
    cloud.change("sample", NAMES[0], sample_of(range(10, 60)))
    with monkeypatch.context() as patch:
        patch.setattr(profiles.Partition, "change", None)
        with pytest.raises(TypeError):
            learner.learn(cloud.snapshot())
    now = cloud.snapshot()
    assert codec.encode(
        board_of(now, learner.learn(now), Scope.PROJECT)
    ) == codec.encode(board_of(now, learn(now, Scope.PROJECT), Scope.PROJECT))
