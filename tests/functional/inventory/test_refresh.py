# SPDX-License-Identifier: Apache-2.0
"""The reader into a real database: a whole reading, or the last good one."""

from membuddies_nova.db import inventory
from tests.functional.inventory import edge as edge_module
from tests.unit.inventory import records

NOW = 1_800_000_000.0
SERVERS = "/compute/v2.1/servers/detail"


def kept(database, now=NOW):
    with database.reader() as session:
        return (
            inventory.state(session),
            [host.name for host in inventory.hosts(session, now)],
            {guest.uuid: guest.host for guest in inventory.guests(session, now)},
        )


def test_a_reading_is_kept_as_a_whole(database, reader):
    assert reader.refresh(database, NOW)
    state, hosts, guests = kept(database)
    assert (state.read_at, state.attempted_at, state.error) == (NOW, NOW, None)
    assert hosts == ["c1"]
    assert guests == {records.GUEST.format(1): "c1"}


def test_all_of_a_guest_survives_the_database(database, reader):
    _, [read], _ = reader.read(NOW)
    reader.refresh(database, NOW)
    with database.reader() as session:
        assert inventory.guests(session, NOW) == [read]


def test_a_failure_leaves_the_last_reading_with_the_error_beside_it(
    database, reader, edge
):
    reader.refresh(database, NOW)
    edge.lists[SERVERS] = ("servers", [])
    edge.faults["/image/v2/images"] = edge_module.refuse(500, "Glance rests")
    assert not reader.refresh(database, NOW + 60)
    state, hosts, guests = kept(database)
    assert (state.read_at, state.attempted_at) == (NOW, NOW + 60)
    assert "Glance rests" in state.error
    assert (hosts, list(guests)) == (["c1"], [records.GUEST.format(1)])


def test_the_next_good_reading_forgets_the_error(database, reader, edge):
    edge.faults[SERVERS] = edge_module.refuse(500, "Away")
    reader.refresh(database, NOW)
    assert kept(database)[0].read_at is None
    edge.faults.clear()
    assert reader.refresh(database, NOW + 60)
    assert kept(database)[0].error is None


def test_a_guest_that_is_gone_or_elsewhere_is_so_in_the_next_reading(
    database, reader, edge
):
    edge.lists[SERVERS] = ("servers", [records.server(1), records.server(2)])
    reader.refresh(database, NOW)
    edge.lists[SERVERS] = ("servers", [records.server(2, host="c2")])
    reader.refresh(database, NOW + 60)
    assert kept(database)[2] == {records.GUEST.format(2): "c2"}
