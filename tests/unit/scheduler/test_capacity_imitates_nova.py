# SPDX-License-Identifier: Apache-2.0
"""`ram-spread` and `image` of the capacity command choose as Nova's classes do."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nova.scheduler import weights
from nova.scheduler.weights import image_props, ram

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.planner.capacity import fill
from tests.unit.model.clusters import snapshot_of_pages
from tests.unit.scheduler.requests import instance_uuid, objects, spec, state

IMAGES = ("debian", "ubuntu", "fedora")
GUESTS = st.lists(
    st.builds(
        dict,
        image=st.sampled_from(IMAGES),
        memory_mb=st.integers(1, 4),
        host=st.sampled_from((None, None, "m0", "m1", "m2")),
    ),
    max_size=12,
)


@pytest.fixture
def database(monkeypatch):
    """Nova's cell database, which adds nothing that the instances lack here."""
    cell = objects.CellMapping(
        uuid=instance_uuid(0), database_connection="sqlite://", transport_url="fake:/"
    )
    monkeypatch.setattr(objects.CellMapping, "get_by_uuid", lambda *_: cell)
    monkeypatch.setattr(objects.InstanceList, "fill_metadata", lambda _: None)


def state_of(snapshot, host, positions):
    """The HostState that Nova's scheduler would have of a host."""
    rows = [
        row
        for row, guest in enumerate(snapshot.guests)
        if positions[guest.uuid] == host.name
    ]
    claimed = sum(snapshot.guests[row].memory_mb for row in rows)
    value = state(host.name, free_ram_mb=host.memory_mb - claimed)
    value.cell_uuid = instance_uuid(0)
    value.instances = {
        instance_uuid(row): objects.Instance(
            uuid=instance_uuid(row),
            image_ref=instance_uuid(0),
            system_metadata={"image_os_distro": snapshot.guests[row].image},
        )
        for row in rows
    }
    return value


def placed_by(weigher, snapshot):
    """Where Nova's handler puts the waiting guests, one by one."""
    positions = {guest.uuid: guest.host for guest in snapshot.guests}
    for guest in snapshot.guests:
        if guest.host is not None:
            continue
        states = []
        for host in snapshot.hosts:
            there = [
                other for other in snapshot.guests if positions[other.uuid] == host.name
            ]
            # Nothing is shared, so this is the whole of the memory rule.
            if sum(other.memory_mb for other in (*there, guest)) <= host.memory_mb:
                states.append(state_of(snapshot, host, positions))
        weighed = weights.HostWeightHandler().get_weighed_objects(
            [weigher], states, spec(distro=guest.image, memory_mb=guest.memory_mb)
        )
        if weighed:
            positions[guest.uuid] = weighed[0].obj.host
    return positions


@pytest.mark.parametrize(
    ("policy", "weigher"),
    [
        ("ram-spread", ram.RAMWeigher),
        ("image", image_props.ImagePropertiesWeigher),
    ],
)
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(guests=GUESTS, sizes=st.tuples(*[st.integers(1, 12)] * 3))
def test_each_guest_goes_where_novas_own_weigher_puts_it(
    nova_conf, database, policy, weigher, guests, sizes
):
    nova_conf.config(image_props_weight_multiplier=1.0, group="filter_scheduler")
    names = [f"vm{number}" for number in range(len(guests))]
    snapshot = snapshot_of_pages(
        {},
        hosts=[Host(name=f"m{at}", memory_mb=size) for at, size in enumerate(sizes)],
        guests=[
            Guest(uuid=name, name=name, **facts)
            for name, facts in zip(names, guests, strict=True)
        ],
    )
    filling = fill(snapshot, policy)
    expected = placed_by(weigher(), snapshot)
    found = dict.fromkeys(names)
    for host, use in filling.hosts.items():
        found |= dict.fromkeys(use.guests, host)
    assert found == expected
    waiting = [guest for guest in snapshot.guests if guest.host is None]
    assert filling.placed == sum(expected[guest.uuid] is not None for guest in waiting)
