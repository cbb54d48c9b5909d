# SPDX-License-Identifier: Apache-2.0
"""What operators read of a cloud in the database, by the real commands."""

import csv
import io
import json
import time

import pytest
import yaml

from membuddies_nova.cluster import KsmState
from membuddies_nova.db import moves, plans, services, switches
from tests.functional.cli import known_cloud
from tests.functional.cli.conftest import shell_of
from tests.functional.cli.known_cloud import DB_1, LONE, WEB_1, WEB_2


def by(records, key):
    return {record[key]: record for record in records}


def test_hosts_and_guests_are_listed_from_each_kind_of_database(
    database, database_url, tmp_path
):
    known_cloud.fill(database, time.time())
    shell = shell_of(tmp_path, database_url)
    assert [host["host"] for host in shell.json("host", "list")] == ["c1", "c2"]
    guests = by(shell.json("guest", "list"), "uuid")
    assert guests.keys() == {WEB_1, WEB_2, DB_1, LONE}
    assert guests[WEB_1]["inter_shared_mb"] == 3.0
    assert shell.json("status")["stale"] is False


def test_a_host_s_sizes_are_apart_and_in_both_scopes(shell, filled):
    c1 = by(shell.json("host", "list", "--long"), "host")["c1"]
    assert c1["guests"] == 3
    assert c1["no_fingerprint"] == 0
    # 8 + 4 + 4 MB of distinct pages, of which 2 and 1 are held twice.
    assert c1["unique_mb"] == 13.0
    assert c1["unique_pages"] == 13 * 256
    assert c1["zero_mb"] == 1.0
    assert c1["self_shared_mb"] == 1.0
    assert c1["inter_shared_mb"] == 3.0
    assert c1["in_project_mb"] == 2.0


def test_a_host_shows_what_ksm_does_there(shell, filled):
    hosts = by(shell.json("host", "list"), "host")
    assert (hosts["c1"]["ksm"], hosts["c2"]["ksm"]) == ("merging", "off")
    assert hosts["c1"]["ksm_merged_mb"] == 3.0
    assert (hosts["c1"]["smart_scan"], hosts["c2"]["smart_scan"]) == (False, True)


def test_a_guest_without_a_fingerprint_counts_with_its_whole_memory(shell, filled):
    c2 = by(shell.json("host", "list"), "host")["c2"]
    assert (c2["no_fingerprint"], c2["unique_mb"]) == (1, 16.0)


def test_old_data_is_called_stale(shell, filled):
    fresh = by(shell.json("host", "list"), "host")["c1"]
    assert not fresh["stale"]
    assert 10 <= fresh["age_seconds"] < 120
    assert all(host["stale"] for host in shell.json("host", "list", "--max-age", 5))


def test_fingerprints_under_two_keys_are_shown_as_sharing_nothing(shell, sqlite):
    known_cloud.fill(sqlite, time.time(), {WEB_2: known_cloud.OTHER_KEY})
    c1 = by(shell.json("host", "list"), "host")["c1"]
    assert c1["inter_shared_mb"] == 1.0


def test_a_guest_shows_what_it_holds_or_why_that_is_not_known(shell, filled):
    guests = by(shell.json("guest", "list", "--long"), "uuid")
    web = guests[WEB_1]
    assert (web["name"], web["host"], web["project"]) == ("web-1", "c1", "red")
    assert (web["unique_mb"], web["zero_mb"], web["self_shared_mb"]) == (8.0, 1.0, 1.0)
    assert (web["inter_shared_mb"], web["in_project_mb"]) == (3.0, 2.0)
    assert web["resident_pages"] == 10 * 256
    assert web["reason"] is None
    assert guests[LONE]["unique_mb"] is None
    assert (
        guests[LONE]["reason"] == "its memory is huge pages, which KSM does not merge"
    )


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [("--host", "c2", {LONE}), ("--project", "blue", {DB_1}), ("--host", "c9", set())],
)
def test_guests_can_be_chosen(shell, filled, option, value, expected):
    assert by(shell.json("guest", "list", option, value), "uuid").keys() == expected


@pytest.mark.parametrize(
    ("scope", "kin"),
    [("project", {"web-2": 512}), ("global", {"web-2": 512, "db-1": 256})],
)
def test_a_guest_s_kin_depend_on_the_scope(shell, filled, scope, kin):
    guest = shell.json("guest", "show", "web-1", "--scope", scope)
    assert guest["uuid"] == WEB_1
    assert guest["unique_pages"] == 8 * 256
    assert {each["name"]: each["shared_pages"] for each in guest["kin"]} == kin


def test_a_guest_shows_how_fast_it_changes(shell, filled):
    def rate(name):
        return shell.json("guest", "show", name)["change_fraction_per_hour"]

    assert (rate("web-1"), rate("lone")) == (0.05, None)
    assert "change_fraction_per_hour" in shell.run("guest", "show", "web-1").stdout


def test_guests_are_sorted_though_a_size_is_missing(shell, filled):
    guests = shell.json("guest", "list", "--sort-column", "unique_mb")
    assert [guest["unique_mb"] for guest in guests] == [None, 4.0, 4.0, 8.0]


def test_a_guest_without_a_fingerprint_can_be_shown(shell, filled):
    guest = shell.json("guest", "show", LONE)
    assert (guest["unique_mb"], guest["kin"]) == (None, [])
    assert "huge pages" in guest["reason"]


def test_a_guest_that_nobody_knows_is_a_wrong_call(shell, filled):
    assert "'nobody'" in shell.failure("guest", "show", "nobody", status=2)


@pytest.mark.parametrize("format", ["table", "csv", "json", "yaml", "value"])
def test_a_list_comes_in_every_format(shell, filled, format):
    done = shell.run("guest", "list", "-f", format)
    assert (done.returncode, done.stderr) == (0, "")
    parsed = {
        "json": json.loads,
        "yaml": yaml.safe_load,
        "csv": lambda text: list(csv.DictReader(io.StringIO(text))),
        "table": str.splitlines,
        "value": str.splitlines,
    }[format](done.stdout)
    assert len(parsed) >= len(known_cloud.GUESTS)
    assert "web-1" in done.stdout


@pytest.mark.parametrize("format", ["table", "json", "yaml", "shell", "value"])
def test_an_object_comes_in_every_format(shell, filled, format):
    done = shell.run("guest", "show", "web-1", "-f", format)
    assert (done.returncode, done.stderr) == (0, "")
    assert WEB_2 in done.stdout


@pytest.mark.parametrize("command", ["host", "guest", "plan"])
def test_an_empty_database_gives_empty_lists(shell, sqlite, command):
    assert shell.json(command, "list") == []


def test_a_missing_value_is_a_dash_for_people(shell, filled):
    done = shell.run("guest", "show", "lone", "-f", "table")
    assert "None" not in done.stdout


def test_status_is_one_for_an_empty_database(shell, sqlite):
    done = shell.run("status", "-f", "json")
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout)["inventory_age_seconds"] is None


def test_status_names_hosts_that_need_a_look(shell, filled):
    status = shell.json("status")
    assert status["mode"] == "recommend"
    assert not status["paused"]
    assert status["not_merging_hosts"] == [{"host": "c2", "ksm": "off"}]
    assert status["smart_scan_hosts"] == ["c2"]
    assert status["mixed_hosts"] == [
        {
            "host": "c1",
            "ksm": "merging",
            "trust_scopes": ["project:blue", "project:red"],
        }
    ]
    assert (status["hosts"], status["guests"], status["fingerprints"]) == (2, 4, 3)
    assert {(each["binary"], each["host"]) for each in status["services"]} == {
        ("membuddies-controller", "ctl"),
        ("membuddies-rebalancer", "ctl"),
        ("membuddies-agent", "c1"),
        ("membuddies-agent", "c2"),
    }


def test_status_is_one_when_a_host_is_stale(shell, filled):
    done = shell.run("status", "-f", "json", "--max-age", "5")
    assert done.returncode == 1
    assert json.loads(done.stdout)["stale_hosts"] == ["c1", "c2"]


def test_status_for_people_says_what_to_do(shell, filled):
    report = shell.run("status").stdout
    assert "KSM is not merging on: c2 (off)" in report
    assert "echo 1 > /sys/kernel/mm/ksm/run" in report
    assert "echo 0 > /sys/kernel/mm/ksm/smart_scan" in report


def test_a_host_that_merges_needs_no_look(shell, filled):
    known_cloud.report(filled, "c2", time.time(), state=KsmState.MERGING, smart_scan=0)
    status = shell.json("status")
    assert (status["not_merging_hosts"], status["smart_scan_hosts"]) == ([], [])


def test_pause_and_resume_are_a_switch_with_a_reason(shell, filled):
    assert shell.run("pause", "--reason", "disks").returncode == 0
    with filled.reader() as session:
        assert switches.paused(session).reason == "disks"
    status = shell.json("status")
    assert (status["paused"], status["pause_reason"]) == (True, "disks")
    assert "may start" in shell.run("resume").stdout
    assert "was not paused" in shell.run("resume").stdout
    assert not shell.json("status")["paused"]


def test_a_plan_is_shown_with_its_moves_and_their_states(shell, filled):
    plan_id = known_cloud.add_plan(filled, time.time())
    [listed] = shell.json("plan", "list")
    assert (listed["id"], listed["state"], listed["moves"]) == (plan_id, "proposed", 1)
    shown = shell.json("plan", "show", plan_id)
    [move] = shown["moves"]
    assert (move["guest"], move["guest_name"], move["state"]) == (
        LONE,
        "lone",
        "planned",
    )
    assert (move["from"], move["to"], move["gain_mb"]) == ("c2", "c1", 4.5)
    report = shell.run("plan", "show", plan_id).stdout
    assert "it shares 4.5 MB with guests there" in report


def test_a_proposed_plan_can_be_approved_once(shell, filled):
    plan_id = known_cloud.add_plan(filled, time.time(), expires_at=time.time() + 3600)
    assert shell.run("plan", "approve", plan_id).returncode == 0
    with filled.reader() as session:
        record = plans.get(session, plan_id)
    assert (record.state, bool(record.approved_by)) == ("approved", True)
    assert "is approved" in shell.failure("plan", "approve", plan_id)


def test_a_plan_that_only_observes_is_never_approved(shell, filled):
    plan_id = known_cloud.add_plan(filled, time.time(), state="observed")
    assert "mode = recommend" in shell.failure("plan", "approve", plan_id)


def test_an_expired_plan_is_never_approved(shell, filled):
    plan_id = known_cloud.add_plan(filled, time.time(), expires_at=time.time() - 1)
    assert "expired at" in shell.failure("plan", "approve", plan_id)


@pytest.mark.parametrize("options", [(), ("--abort",)])
def test_a_plan_can_be_cancelled_once(shell, filled, options):
    plan_id = known_cloud.add_plan(filled, time.time())
    assert shell.run("plan", "cancel", plan_id, *options).returncode == 0
    with filled.reader() as session:
        record = plans.get(session, plan_id)
        [move] = moves.of_plan(session, plan_id)
    assert (record.state, record.abort) == ("cancelled", bool(options))
    assert move.state == "cancelled"
    assert "cancelled already" in shell.failure("plan", "cancel", plan_id, *options)


@pytest.mark.parametrize("command", ["show", "approve", "cancel"])
def test_a_plan_that_there_is_not_is_a_wrong_call(shell, sqlite, command):
    line = shell.failure("plan", command, "nowhere", status=2)
    assert "'nowhere'" in line
    assert "plan list" in line


def test_status_tells_which_hosts_work_under_which_key(shell, sqlite):
    known_cloud.fill(sqlite, time.time(), host_key=known_cloud.OTHER_KEY)
    status = shell.json("status")
    old, new = known_cloud.KEY.key_id.hex(), known_cloud.OTHER_KEY.key_id.hex()
    assert status["keys"] == {old: ["c1"], new: ["c2"]}
    assert f"{old}: c1; {new}: c2" in shell.run("status").stdout


def test_while_agents_have_one_key_status_says_nothing_of_it(shell, filled):
    assert len(shell.json("status")["keys"]) == 1
    assert "keys" not in shell.run("status").stdout


def test_status_counts_the_messages_that_were_not_believed(shell, filled):
    counts = {"forged": 3, "replayed": 1, "stored": 9}
    with filled.writer() as session:
        for name in ("ctl", "ctl2"):
            services.beat(
                session,
                "membuddies-controller",
                name,
                time.time(),
                {"counts": counts},
            )
    assert shell.json("status")["dropped_messages"] == {
        "forged": 6,
        "unknown-key": 0,
        "replayed": 2,
        "foreign": 0,
    }
    assert "6 forged, 2 replayed" in shell.run("status").stdout
