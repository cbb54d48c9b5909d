# SPDX-License-Identifier: Apache-2.0
"""What Nova is asked and what its answers mean, over HTTP through the real SDK."""

import pytest
from oslo_config import cfg

from membuddies_nova import exceptions
from membuddies_nova.conf import rebalancer as options
from membuddies_nova.rebalancer import migrations
from membuddies_nova.rebalancer.migrations import Nova
from tests.functional.rebalancer.fake_cloud import USER, Fault


def test_a_server_is_read_as_nova_tells_it(emulator, nova):
    server = emulator.add_server("c1", locked=True, task_state="migrating")

    assert nova.server(server.uuid) == migrations.Server(
        uuid=server.uuid,
        host="c1",
        status="MIGRATING",
        task_state="migrating",
        locked=True,
    )


def test_a_server_that_nova_does_not_know_is_none(nova):
    assert nova.server("2ff9e0cf-1c1f-4a3b-9b5c-2b7a1c9f0a55") is None


def test_a_live_migration_is_asked_for_once_and_without_force(emulator, nova):
    server = emulator.add_server("c1")

    nova.start(server.uuid, "c2")

    assert emulator.posts == [server.uuid]
    assert [(r.source, r.wanted, r.user) for r in emulator.records] == [
        ("c1", "c2", USER)
    ]


def test_a_migration_is_followed_by_its_record_to_its_end(emulator, nova):
    server = emulator.add_server("c1")
    nova.start(server.uuid, "c2")

    states = [nova.migrations(server.uuid)[0].status for _ in range(5)]

    assert states == ["queued", "preparing", "running", "post-migrating", "completed"]
    assert nova.server(server.uuid).host == "c2"


def test_a_refusal_carries_novas_words(emulator, nova):
    server = emulator.add_server("c1", locked=True)

    with pytest.raises(migrations.RefusedError, match=r"HTTP 409: .* is locked"):
        nova.start(server.uuid, "c2")


def test_an_unknown_destination_is_refused(emulator, nova):
    server = emulator.add_server("c1")

    with pytest.raises(migrations.RefusedError, match="c9 could not be found"):
        nova.start(server.uuid, "c9")


def test_a_late_refusal_is_explained_by_the_servers_action(emulator, nova):
    server = emulator.add_server("c1", refusal="No valid host was found. ")

    nova.start(server.uuid, "c2")

    (record,) = nova.migrations(server.uuid)
    assert (record.status, record.destination) == ("error", None)
    assert nova.reason(server.uuid) == "No valid host was found. "


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("status", [None, 500, 503, 504])
def test_no_usable_answer_means_unknown_and_nothing_is_repeated(
    emulator, nova, accepted, status
):
    server = emulator.add_server("c1", fault=Fault(accepted=accepted, status=status))

    with pytest.raises(migrations.OutcomeUnknownError):
        nova.start(server.uuid, "c2")

    assert emulator.posts == [server.uuid]
    assert len(emulator.records) == accepted


def test_a_time_out_means_unknown_and_nothing_is_repeated(emulator, conf):
    conf.set_override("timeout", 1, options.GROUP)
    nova = Nova.from_conf(conf)
    server = emulator.add_server("c1", fault=Fault(accepted=True, late=True))

    with pytest.raises(migrations.OutcomeUnknownError):
        nova.start(server.uuid, "c2")

    assert emulator.posts == [server.uuid]


def test_a_question_that_nova_does_not_answer_is_no_crash(emulator, nova):
    server = emulator.add_server("c1")
    nova.server(server.uuid)
    emulator.away = True

    for question in (
        lambda: nova.server(server.uuid),
        lambda: nova.migrations(server.uuid),
        lambda: nova.host_refusal("c1"),
        nova.under_way,
    ):
        with pytest.raises(migrations.NovaUnavailableError):
            question()


def test_a_keystone_that_is_not_there_is_no_crash(emulator, conf, nova_options):
    nova_options.write_text(
        nova_options.read_text().replace(emulator.url, "http://127.0.0.1:1")
    )
    conf.reload_config_files()

    with pytest.raises(migrations.NovaUnavailableError):
        Nova.from_conf(conf).server("2ff9e0cf-1c1f-4a3b-9b5c-2b7a1c9f0a55")


@pytest.mark.parametrize(
    ("host", "changes", "reason"),
    [
        ("c1", {}, None),
        ("c1", {"status": "disabled"}, "is disabled"),
        ("c1", {"state": "down"}, "is down"),
        ("c1", {"forced": True}, "is down"),
        ("c9", None, "no compute service on host c9"),
    ],
)
def test_a_host_takes_guests_only_while_enabled_and_up(
    emulator, nova, host, changes, reason
):
    if changes is not None:
        emulator.hosts[host].update(changes)

    refusal = nova.host_refusal(host)

    assert refusal is None if reason is None else reason in refusal


def test_migrations_of_everybody_and_every_kind_are_under_way(emulator, nova):
    emulator.add_record(emulator.add_server("c1"), "c2", user="somebody-else")
    emulator.add_record(
        emulator.add_server("c2"), "c3", kind="resize", status="pre-migrating"
    )
    emulator.add_record(emulator.add_server("c3"), "c2", status="running (post-copy)")
    emulator.add_record(emulator.add_server("c3"), "c1", status="completed")

    found = {(m.source, m.destination, m.kind) for m in nova.under_way()}

    assert found == {
        ("c1", "c2", "live-migration"),
        ("c2", "c3", "resize"),
        ("c3", "c2", "live-migration"),
    }


def test_only_migrations_that_began_since_count(emulator, nova):
    first = emulator.add_record(emulator.add_server("c1"), "c2")
    second = emulator.add_record(emulator.add_server("c1"), "c2", status="completed")

    since = nova.live_migrations_since(first.created.timestamp() - 1)

    assert {m.id for m in since} == {first.id, second.id}
    assert nova.live_migrations_since(second.created.timestamp() + 1) == []


def test_a_running_migration_can_be_aborted(emulator, nova):
    server = emulator.add_server("c1", held=True)
    nova.start(server.uuid, "c2")
    for _ in range(3):
        (record,) = nova.migrations(server.uuid)

    nova.abort(record)

    assert nova.migrations(server.uuid)[0].status == "cancelled"
    assert nova.server(server.uuid).task_state is None


def test_an_abort_that_comes_too_late_is_refused(emulator, nova):
    server = emulator.add_server("c1")
    nova.start(server.uuid, "c2")
    for _ in range(5):
        (record,) = nova.migrations(server.uuid)

    with pytest.raises(migrations.RefusedError, match="is completed"):
        nova.abort(record)


def test_missing_credentials_are_named_before_anything_is_asked():
    conf = cfg.ConfigOpts()
    options.register(conf)
    conf([], project="membuddies", default_config_files=[])

    with pytest.raises(exceptions.ConfigurationError, match="auth_type"):
        Nova.from_conf(conf)


def test_a_cloud_that_clouds_yaml_does_not_hold_is_named():
    conf = cfg.ConfigOpts()
    options.register(conf)
    conf([], project="membuddies", default_config_files=[])
    conf.set_override("cloud", "nowhere", options.GROUP)

    with pytest.raises(exceptions.ConfigurationError, match="nowhere"):
        Nova.from_conf(conf)


def test_a_cloud_of_clouds_yaml_is_enough(emulator, monkeypatch, tmp_path):
    (tmp_path / "clouds.yaml").write_text(
        f"""\
clouds:
  lab:
    region_name: RegionOne
    auth:
      auth_url: {emulator.url}/identity/v3
      username: membuddies
      password: secret
      project_name: service
      user_domain_id: default
      project_domain_id: default
"""
    )
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    conf = cfg.ConfigOpts()
    options.register(conf)
    conf([], project="membuddies", default_config_files=[])
    conf.set_override("cloud", "lab", options.GROUP)
    server = emulator.add_server("c1")

    nova = Nova.from_conf(conf)

    assert nova.server(server.uuid).host == "c1"
    assert nova.user() == USER
