# SPDX-License-Identifier: Apache-2.0
"""The reader against a cloud that is large, partly away, or cut off.

That it understands a real OpenStack is shown in tests/cloud.
"""

import pytest
from oslo_config import cfg

from membuddies_nova import exceptions
from membuddies_nova.conf import inventory as options
from membuddies_nova.inventory import cloud
from membuddies_nova.inventory.cloud import InventoryError
from membuddies_nova.inventory.reader import InventoryReader
from tests.functional.inventory import edge as edge_module
from tests.unit.inventory import records

NOW = 1_800_000_000.0
SERVERS = "/compute/v2.1/servers/detail"
PROVIDER = f"/placement/resource_providers/{records.NODE.format(1)}"
INVENTORIES, TRAITS = f"{PROVIDER}/inventories", f"{PROVIDER}/traits"
VOLUMES = "/block-storage/v3/volumes/detail"


def test_the_whole_cloud_is_read(reader):
    hosts, guests, _ = reader.read(NOW)
    assert [host.name for host in hosts] == ["c1"]
    assert hosts[0].memory_mb == 4096
    assert [(guest.uuid, guest.host) for guest in guests] == [
        (records.GUEST.format(1), "c1")
    ]


def test_the_guests_of_all_projects_are_asked_for(reader, edge):
    reader.read(NOW)
    query = next(query for path, query in edge.requests if path == SERVERS)
    assert query["all_tenants"] == "1"


def test_lists_are_read_to_their_last_page(reader, edge):
    edge.page_size = 2
    numbers = range(1, 8)
    edge.lists[SERVERS] = ("servers", [records.server(n) for n in numbers])
    group_ids = [f"3333333{n}-3333-4333-8333-333333333333" for n in numbers]
    edge.lists["/compute/v2.1/os-server-groups"] = (
        "server_groups",
        [
            records.group(records.GUEST.format(n), id=group_id)
            for n, group_id in zip(numbers, group_ids, strict=True)
        ],
    )
    _, guests, _ = reader.read(NOW)
    assert [guest.uuid for guest in guests] == [
        records.GUEST.format(n) for n in numbers
    ]
    assert all(
        group_id in guest.group.name
        for guest, group_id in zip(guests, group_ids, strict=True)
    )


@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_a_guest_that_is_being_built_does_not_cost_the_reading(
    reader, edge, page_size, monkeypatch
):
    monkeypatch.setattr(cloud, "_CIRCLE_SECONDS", 0.0)
    numbers = range(1, 6)
    edge.page_size = page_size
    edge.lists[SERVERS] = ("servers", [records.server(n) for n in numbers])
    edge.building = {records.GUEST.format(5): 3, records.GUEST.format(2): 4}
    _, guests, _ = reader.read(NOW)
    assert sorted(guest.uuid for guest in guests) == [
        records.GUEST.format(n) for n in numbers
    ]
    # The last one is the marker at any size of a page.
    assert records.GUEST.format(5) not in edge.building


def test_a_build_request_that_was_left_behind_is_named(reader, edge, monkeypatch):
    monkeypatch.setattr(cloud, "_CIRCLE_SECONDS", 0.0)
    edge.building = {records.GUEST.format(1): 1000}
    with pytest.raises(InventoryError, match="circle") as raised:
        reader.read(NOW)
    assert records.GUEST.format(1) in str(raised.value)
    assert edge.building[records.GUEST.format(1)] > 900, "it asks again and again"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (edge_module.refuse(500, "Unexpected API Error."), "Unexpected API Error"),
        (edge_module.refuse(503, "Overloaded"), "Overloaded"),
        (edge_module.half_an_answer, "servers/detail"),
        (edge_module.broken_json, "servers/detail"),
        (edge_module.silence, "timed out"),
    ],
)
def test_a_service_that_fails_gives_one_line_that_names_it(reader, edge, fault, words):
    edge.faults[SERVERS] = fault
    with pytest.raises(InventoryError, match=words) as caught:
        reader.read(NOW)
    assert str(caught.value).startswith("Nova: GET /servers/detail: ")
    assert "\n" not in str(caught.value)


def test_a_cloud_that_is_away_gives_one_line(reader, edge):
    edge.stop()
    with pytest.raises(InventoryError) as caught:
        reader.read(NOW)
    assert "\n" not in str(caught.value)


def test_a_cloud_that_was_away_at_the_first_reading_is_read_later(reader, edge):
    edge.faults["/identity/v3/auth/tokens"] = edge_module.refuse(500, "Not yet")
    with pytest.raises(InventoryError):
        reader.read(NOW)
    edge.faults.clear()
    hosts, *_ = reader.read(NOW)
    assert [host.name for host in hosts] == ["c1"]


def test_a_token_that_was_revoked_is_asked_for_anew(reader, edge):
    reader.read(NOW)
    edge.token_id = "t2"
    hosts, *_ = reader.read(NOW)
    assert [host.name for host in hosts] == ["c1"]


@pytest.mark.parametrize("field", ["OS-SRV-USG:launched_at", "flavor"])
def test_a_field_of_another_kind_is_an_error_not_a_crash(reader, edge, field):
    edge.lists[SERVERS] = ("servers", [records.server(**{field: "yesterday"})])
    with pytest.raises(InventoryError):
        reader.read(NOW)


def test_a_refusal_names_the_role_and_the_rule(reader, edge):
    rule = "os_compute_api:servers:detail:get_all_tenants"
    edge.faults[SERVERS] = edge_module.refuse(
        403, f"Policy doesn't allow {rule} to be performed."
    )
    with pytest.raises(InventoryError, match=rf"{rule}.*role admin"):
        reader.read(NOW)


def test_a_record_without_its_fields_is_an_error_not_a_crash(reader, edge):
    server = records.server()
    del server["locked"]
    edge.lists[SERVERS] = ("servers", [server])
    with pytest.raises(InventoryError, match="locked"):
        reader.read(NOW)


def test_a_group_that_the_list_hides_is_read_by_its_id(reader, edge):
    server = records.server(scheduler_hints={"group": [records.GROUP]})
    edge.lists[SERVERS] = ("servers", [server])
    edge.objects[f"/compute/v2.1/os-server-groups/{records.GROUP}"] = {
        "server_group": records.group(server["id"])
    }
    _, [guest], _ = reader.read(NOW)
    assert guest.group.policy == "anti-affinity"


def test_a_group_that_was_deleted_binds_nobody(reader, edge):
    server = records.server(scheduler_hints={"group": [records.GROUP]})
    edge.lists[SERVERS] = ("servers", [server])
    _, [guest], _ = reader.read(NOW)
    assert guest.group is None


def test_a_group_that_may_not_be_read_is_an_error(reader, edge):
    server = records.server(scheduler_hints={"group": [records.GROUP]})
    edge.lists[SERVERS] = ("servers", [server])
    edge.faults[f"/compute/v2.1/os-server-groups/{records.GROUP}"] = edge_module.refuse(
        403, "Policy doesn't allow os-server-groups:show"
    )
    with pytest.raises(InventoryError, match="os-server-groups:show"):
        reader.read(NOW)


def test_a_host_that_placement_does_not_know_yet_has_no_room(reader, edge):
    edge.objects.clear()
    [host], *_ = reader.read(NOW)
    assert host.real_memory_mb == 0


def test_placement_tells_the_processors_and_is_asked_again_only_after_a_change(
    reader, edge
):
    for _ in range(2):
        hosts, _, _ = reader.read(NOW)
        assert hosts[0].cpu_traits == ("HW_CPU_X86_AVX", "HW_CPU_X86_AVX2")
    assert [path for path, _ in edge.requests].count(TRAITS) == 1

    edge.objects[INVENTORIES]["resource_provider_generation"] = 8
    edge.objects[TRAITS] = {"traits": [], "resource_provider_generation": 8}
    hosts, _, _ = reader.read(NOW)
    assert hosts[0].cpu_traits == ()


def test_a_credential_that_may_not_see_traits_costs_no_reading(reader, edge):
    edge.faults[TRAITS] = lambda handler: edge_module.send(
        handler, 403, {"errors": [{"detail": "Policy does not allow traits:list"}]}
    )
    hosts, _, _ = reader.read(NOW)
    assert (hosts[0].memory_mb, hosts[0].cpu_traits) == (4096, None)


def test_a_cloud_without_volume_booted_guests_never_asks_cinder(reader, edge):
    edge.catalog["block-storage"] = "/v3"
    reader.read(NOW)
    assert not any(path.startswith("/block-storage") for path, _ in edge.requests)


def test_cinder_tells_the_image_of_a_volume_booted_guest(reader, edge):
    edge.catalog["block-storage"] = "/v3"
    server = records.server(image="")
    edge.lists[SERVERS] = ("servers", [server])
    edge.lists[VOLUMES] = ("volumes", [records.volume(server["id"])])
    _, [guest], _ = reader.read(NOW)
    assert guest.image == records.IMAGE


def test_a_cloud_without_cinder_is_no_error(reader, edge):
    edge.lists[SERVERS] = ("servers", [records.server(image="")])
    _, [guest], _ = reader.read(NOW)
    assert guest.image is None


def test_what_cinder_once_told_is_kept_while_it_is_away(reader, edge):
    edge.catalog["block-storage"] = "/v3"
    server = records.server(image="")
    edge.lists[SERVERS] = ("servers", [server])
    edge.lists[VOLUMES] = ("volumes", [records.volume(server["id"])])
    reader.read(NOW)
    edge.faults[VOLUMES] = edge_module.refuse(503, "Away")
    _, [guest], _ = reader.read(NOW)
    assert guest.image == records.IMAGE


def test_a_group_without_credentials_names_the_options():
    conf = cfg.ConfigOpts()
    options.register(conf)
    conf([], project="membuddies", default_config_files=[])
    with pytest.raises(exceptions.ConfigurationError, match="auth_type"):
        InventoryReader(conf)


def test_a_cloud_that_clouds_yaml_does_not_know_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    conf = cfg.ConfigOpts()
    options.register(conf)
    conf([], project="membuddies", default_config_files=[])
    conf.set_override("cloud", "nowhere", group=options.GROUP)
    with pytest.raises(exceptions.ConfigurationError, match="nowhere"):
        InventoryReader(conf)
