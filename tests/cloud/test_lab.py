# SPDX-License-Identifier: Apache-2.0
"""The lab itself: what the other cloud tests take for granted."""

from collections.abc import Iterator

import pytest
import sqlalchemy
from openstack.exceptions import HttpException

from . import bus
from .lab.cloud import Cloud
from .lab.errors import LabError, ServiceFailed
from .lab.guests import Guest, Guests
from .lab.images import GuestImage
from .lab.layout import database_url


@pytest.fixture(scope="module")
def guests(cloud: Cloud) -> Guests:
    return cloud.guests("red")


@pytest.fixture(scope="module")
def pair(cloud: Cloud, guests: Guests) -> Iterator[tuple[Guest, Guest]]:
    """Two database guests on one host."""
    image = GuestImage("database")
    booted = [guests.start(f"pair-{i}", image, cloud.hosts[0]) for i in range(2)]
    try:
        guests.wait_until_ready(booted)
        yield booted[0], booted[1]
    finally:
        guests.delete(booted)


def test_every_host_is_up_under_the_name_that_nova_gives_it(cloud: Cloud) -> None:
    services = cloud.connect().compute.services(binary="nova-compute")
    assert {service.host: service.state for service in services} == {
        "lab-c1": "up",
        "lab-c2": "up",
        "compute-three": "up",
    }
    assert cloud.run(["hostname"], where="c3").stdout.strip() == "lab-c3"


def test_the_reader_sees_the_guests_and_hosts_of_all_projects(
    cloud: Cloud, pair: tuple[Guest, Guest]
) -> None:
    reader = cloud.connect("reader")
    compute = reader.compute
    servers = {server.id: server for server in compute.servers(all_projects=True)}
    for guest in pair:
        assert servers[guest.id].compute_host == cloud.hosts[0]
    assert len(list(compute.hypervisors(details=True))) == 3
    assert list(compute.aggregates()) == []
    known = cloud.connect().compute.migrations()
    assert [each.id for each in compute.migrations()] == [each.id for each in known]
    assert list(compute.server_groups(all_projects=True)) == []
    assert len(list(compute.services(binary="nova-compute"))) == 3
    zones = {zone.name: zone.hosts for zone in compute.availability_zones(details=True)}
    assert set(zones["nova"]) == set(cloud.hosts)
    for provider in reader.placement.resource_providers():
        found = reader.placement.resource_provider_inventories(provider)
        assert {inventory.resource_class for inventory in found} >= {"MEMORY_MB"}


def test_the_reader_can_change_nothing(cloud: Cloud, pair: tuple[Guest, Guest]) -> None:
    compute = cloud.connect("reader").compute
    with pytest.raises(HttpException, match=r"40[34]: Client Error"):
        compute.live_migrate_server(pair[0].id, host=cloud.hosts[1])
    with pytest.raises(HttpException, match=r"403: Client Error"):
        compute.create_aggregate(name="mine")


def test_a_tenant_sees_its_own_guests_only(
    cloud: Cloud, pair: tuple[Guest, Guest]
) -> None:
    assert list(cloud.connect("blue").compute.servers()) == []


def test_libvirt_on_the_host_shows_the_guests_that_nova_places_there(
    cloud: Cloud, pair: tuple[Guest, Guest]
) -> None:
    listed = cloud.virsh(cloud.hosts[0], "list", "--uuid")
    assert {guest.id for guest in pair} <= set(listed.split())
    assert {guest.id for guest in pair} <= set(cloud.guest_pids(cloud.hosts[0]))


def test_two_guests_of_a_role_on_one_host_merge(
    cloud: Cloud, pair: tuple[Guest, Guest]
) -> None:
    before = cloud.frames()[cloud.hosts[0]]
    with cloud.ksm.merging() as ksm:
        ksm.wait_until_converged()
        after = cloud.frames()[cloud.hosts[0]]
    print(f"\n{before.mb:.0f} MB before merging, {after.mb:.0f} MB after")
    assert after.present_pages == pytest.approx(before.present_pages, rel=0.01)
    # Zero pages cost nothing any more, and of what is left each guest has about
    # 128 MB, 94 MB of them its base, role and kernel, as the other has.
    assert after.mb < 2 * 128 - 80
    assert after.ksm_frames > 0


def test_a_guest_is_after_a_live_migration_where_nova_says(
    cloud: Cloud, guests: Guests, pair: tuple[Guest, Guest]
) -> None:
    mover, _ = pair
    for host in (cloud.hosts[2], cloud.hosts[1], cloud.hosts[0]):
        migration = guests.live_migrate(mover, host)
        print(f"\n{migration}")
        assert migration.status == "completed"
        assert migration.destination == host
        assert guests.host(mover) == host
        for other in cloud.hosts:
            assert (mover.id in cloud.guest_pids(other)) == (other == host)


def test_a_guest_that_names_no_host_is_placed_by_the_scheduler(
    cloud: Cloud, guests: Guests
) -> None:
    guest = guests.boot("anywhere", GuestImage("web", base="debian-12-slim"))
    try:
        assert guests.host(guest) in cloud.hosts
    finally:
        guests.delete([guest])
    assert all(guest.id not in cloud.guest_pids(host) for host in cloud.hosts)


def test_services_of_our_own_have_a_broker_and_a_database(cloud: Cloud) -> None:
    with bus.connection() as broker:
        broker.channel().queue_declare("mine", auto_delete=True)
    engine = sqlalchemy.create_engine(database_url("membuddies", "membuddies"))
    with engine.connect() as connection:
        shown = connection.execute(sqlalchemy.text("SHOW DATABASES")).scalars()
        assert set(shown) == {"information_schema", "membuddies"}
    engine.dispose()


def test_a_service_lives_until_it_is_stopped(cloud: Cloud) -> None:
    cloud.start_service("sleeper", ["sleep", "infinity"], where="c2")
    assert cloud.services()["sleeper"]
    cloud.kill_service("sleeper")
    cloud.restart_service("sleeper")
    assert cloud.services()["sleeper"]
    cloud.stop_service("sleeper")
    assert "sleeper" not in cloud.services()


def test_a_service_that_fails_shows_the_end_of_its_log(cloud: Cloud) -> None:
    with pytest.raises(ServiceFailed, match="no such thing"):
        cloud.start_service(
            "failing", ["sh", "-c", "echo no such thing; exit 3"], port=1
        )
    cloud.stop_service("failing")


def test_a_command_that_fails_says_what_it_printed(cloud: Cloud) -> None:
    with pytest.raises(LabError, match=r"ended with 2:\n.*nowhere"):
        cloud.run(["ls", "/nowhere"])
