# SPDX-License-Identifier: Apache-2.0
"""``membuddies explain``: the weigher's scores, from a real database."""

import dataclasses
import time

import pytest

from membuddies_nova.db import inventory
from tests.functional.cli import known_cloud
from tests.functional.cli.known_cloud import LONE, WEB_2

NEW = ("--image", "i1", "--flavor", "m1.tiny", "--project", "red")


def by_host(answer):
    return {host["host"]: host for host in answer["hosts"]}


def test_a_guest_to_come_is_scored_by_its_images_profile(shell, filled):
    answer = shell.json("explain", *NEW, "--memory-mb", 16)
    assert answer["scored_by"] == "the profile image:i1"
    assert answer["trust_scope"] == "project:red"
    hosts = by_host(answer)
    # Of two guests both hold 2 MB: 2 / (2 + 1) of these are expected.
    assert hosts["c1"]["shared_mb"] == pytest.approx(4 / 3, abs=0.25)
    assert hosts["c1"]["score"] == pytest.approx(
        hosts["c1"]["shared_mb"] / 16, abs=0.01
    )
    assert hosts["c1"]["finding"] == "kin"
    assert (hosts["c2"]["score"], hosts["c2"]["finding"]) == (0.0, "ksm-off")
    assert [host["host"] for host in answer["hosts"]] == ["c1", "c2"]


def test_another_projects_guest_finds_no_kin(shell, filled):
    answer = shell.json(
        "explain", "--image", "i1", "--project", "green", "--memory-mb", 16
    )
    assert answer["scored_by"].startswith("nothing: no guest of its trust scope")
    assert by_host(answer)["c1"]["finding"] == "no-kin"


def test_a_guest_that_is_too_large_is_told_so(shell, filled):
    hosts = by_host(shell.json("explain", *NEW, "--memory-mb", 2048))
    assert (hosts["c1"]["score"], hosts["c1"]["finding"]) == (0.0, "no-memory")
    assert hosts["c1"]["available_mb"] == 1024


def test_a_guest_that_exists_is_scored_by_its_own_pages_or_its_profile(shell, filled):
    web = shell.json("explain", "web-2")
    assert web["scored_by"] == "its own fingerprint"
    # 2 MB of it are web-1's, too.
    c1 = by_host(web)["c1"]
    assert (c1["here"], c1["shared_mb"], c1["score"]) == (True, 2.0, 0.125)
    assert web["guest"] == WEB_2
    lone = shell.json("explain", LONE)
    assert lone["scored_by"] == "the profile project:red"


def test_the_size_of_a_known_flavor_is_known(shell, filled):
    with filled.writer() as session:
        guests = [
            dataclasses.replace(guest, flavor="m1.web") for guest in known_cloud.GUESTS
        ]
        inventory.replace(session, known_cloud.HOSTS, guests, time.time())
    answer = shell.json("explain", "--flavor", "m1.web", "--project", "red")
    assert answer["memory_mb"] == 16


def test_the_report_says_what_no_score_can_change(shell, filled):
    done = shell.run("explain", "web-2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "guests there hold these pages" in done.stdout
    assert "its KSM is off" in done.stdout
    assert "Nova asks no weigher where one host is left" in done.stdout


def refused_by(shell, *arguments):
    return {
        host["host"]: host["would_refuse"]
        for host in shell.json("explain", *arguments)["hosts"]
    }


def test_it_tells_which_filters_would_refuse_a_host_if_enabled(shell, filled):
    found = refused_by(shell, *NEW, "--memory-mb", 16)
    # Of c1's guests one is of another project; c2 holds one of the same.
    assert found["c1"] == {
        "KsmIsolationFilter": "guests there do not belong to project:red"
    }
    assert found["c2"] == {}
    report = shell.run("explain", *NEW, "--memory-mb", "16").stdout
    assert "KsmIsolationFilter would refuse c1: guests there do not belong" in report
    assert "where nova-scheduler enables them" in report


def test_a_guest_that_is_too_large_would_be_refused_for_want_of_memory(shell, filled):
    found = refused_by(shell, *NEW, "--memory-mb", 1025)
    # c1 has 1024 MB available, and a quarter of what KSM saves there is kept.
    assert found["c1"]["MemoryPressureFilter"] == (
        "1008 MB are left for guests if merged pages come apart"
    )
    assert found["c2"] == {
        "MemoryPressureFilter": "1024 MB are left for guests if merged pages come apart"
    }


def test_what_aggregates_say_decides_whom_the_isolation_would_refuse(shell, filled):
    free = dataclasses.replace(known_cloud.HOSTS[1], ksm_free=True)
    reserved = dataclasses.replace(known_cloud.HOSTS[0], trust_group="blue")
    with filled.writer() as session:
        inventory.replace(session, [reserved, free], known_cloud.GUESTS, time.time())
    green = ("--image", "i1", "--project", "green", "--memory-mb", 16)
    found = refused_by(shell, *green)
    assert found["c1"] == {
        "KsmIsolationFilter": "it takes only guests of the trust group blue"
    }
    # The operator keeps KSM off there, and its agent confirms it.
    assert found["c2"] == {}
    with filled.writer() as session:
        inventory.replace(session, known_cloud.HOSTS, known_cloud.GUESTS, time.time())
    assert "KsmIsolationFilter" in refused_by(shell, *green)["c2"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "name an INSTANCE, or describe"),
        (("--image", "i1"), "name an INSTANCE, or describe"),
        (("web-2", "--project", "red"), "not both"),
        (("nobody",), "no guest has the uuid or name 'nobody'"),
        (("--flavor", "huge", "--project", "red"), "give --memory-mb"),
        (("--memory-mb", "0", "--project", "red"), "--memory-mb"),
    ],
)
def test_a_wrong_call_is_told_in_one_line(shell, filled, arguments, complaint):
    assert complaint in shell.failure("explain", *arguments, status=2)
