# SPDX-License-Identifier: Apache-2.0
"""Guests between two hosts: the one that Nova's list of servers does not tell.

That the records are such as a real Nova writes is shown in tests/cloud.
"""

import pytest

from tests.functional.inventory import edge as edge_module
from tests.unit.inventory import records

NOW = 1_800_000_000.0
SERVERS = "/compute/v2.1/servers/detail"
MIGRATIONS = "/compute/v2.1/os-migrations"


@pytest.fixture
def between(edge):
    """A guest's host and status, and its migrations, the newest first."""

    def set_up(host, status, *migrations, number=1):
        servers = edge.lists[SERVERS][1]
        servers[number - 1 :] = [records.server(number, host=host, status=status)]
        edge.lists[MIGRATIONS][1].extend(
            records.migration(*ends, guest=number, status=state)
            for *ends, state in migrations
        )

    return set_up


def other_hosts(reader):
    _, guests, _ = reader.read(NOW)
    return [guest.other_host for guest in guests]


@pytest.mark.parametrize(
    ("host", "status", "migration", "other"),
    [
        # A live migration; post-copy, it runs on the destination already.
        ("c1", "MIGRATING", ("c1", "c2", "queued"), "c2"),
        ("c1", "MIGRATING", ("c1", "c2", "running (post-copy)"), "c2"),
        ("c2", "MIGRATING", ("c1", "c2", "post-migrating"), "c1"),
        # A resize, until it is confirmed or reverted.
        ("c1", "RESIZE", ("c1", "c2", "pre-migrating"), "c2"),
        ("c2", "RESIZE", ("c1", "c2", "post-migrating"), "c1"),
        ("c2", "VERIFY_RESIZE", ("c1", "c2", "finished"), "c1"),
        ("c2", "VERIFY_RESIZE", ("c1", "c2", "confirming"), "c1"),
        ("c2", "REVERT_RESIZE", ("c1", "c2", "reverting"), "c1"),
        # Nova has not chosen yet; a resize on one host; it is over by now.
        ("c1", "MIGRATING", ("c1", None, "accepted"), None),
        ("c1", "VERIFY_RESIZE", ("c1", "c1", "finished"), None),
        ("c1", "MIGRATING", ("c1", "c2", "completed"), None),
        ("c1", "MIGRATING", ("c1", "c2", "error"), None),
        # Others' hosts are those of another migration.
        ("c1", "MIGRATING", ("c2", "c3", "running"), None),
        # The inventory need not have that host.
        ("c1", "MIGRATING", ("c1", "nowhere", "running"), "nowhere"),
    ],
)
def test_a_guest_between_two_hosts_tells_the_other(
    reader, between, host, status, migration, other
):
    between(host, status, migration)
    assert other_hosts(reader) == [other]


def test_of_a_guests_migrations_the_one_under_way_counts(reader, between):
    between(
        "c1",
        "MIGRATING",
        ("c1", "c4", "error"),
        ("c1", "c2", "running"),
        ("c3", "c1", "completed"),
        ("c9", "c3", "confirmed"),
    )
    assert other_hosts(reader) == ["c2"]


def test_only_guests_between_two_hosts_are_asked_about_and_each_once(
    reader, edge, between
):
    between("c1", "ACTIVE", ("c2", "c1", "completed"), number=1)
    between("c1", "MIGRATING", ("c1", "c2", "running"), number=2)
    between("c2", "VERIFY_RESIZE", ("c3", "c2", "finished"), number=3)
    assert other_hosts(reader) == [None, "c2", "c3"]
    asked = [query for path, query in edge.requests if path == MIGRATIONS]
    assert [query["instance_uuid"] for query in asked] == [
        records.GUEST.format(number) for number in (2, 3)
    ]


def test_a_credential_that_may_not_see_migrations_costs_no_reading(
    reader, edge, between, caplog
):
    between("c1", "MIGRATING", ("c1", "c2", "running"))
    edge.faults[MIGRATIONS] = edge_module.refuse(
        403, "Policy doesn't allow os_compute_api:os-migrations:index to be performed."
    )
    for _ in range(3):
        assert other_hosts(reader) == [None]
    assert caplog.text.count("os_compute_api:os-migrations:index") == 1
    edge.faults.clear()
    assert other_hosts(reader) == ["c2"]


def test_a_credential_that_may_not_see_their_hosts_is_told_the_rule(
    reader, between, caplog
):
    between("c1", "MIGRATING", (None, None, "running"))
    assert other_hosts(reader) == [None]
    assert "os-migrations:index:host" in caplog.text
