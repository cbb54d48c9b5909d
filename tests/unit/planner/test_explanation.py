# SPDX-License-Identifier: Apache-2.0
"""An explanation has a true sentence for every guest."""

import dataclasses

from hypothesis import given, settings

from membuddies_nova.planner import Limits, explain, plan
from tests.unit.planner.cases import CLOUDS
from tests.unit.planner.published import published_snapshot


@settings(max_examples=20)
@given(CLOUDS)
def test_every_guest_is_explained_where_the_plan_leaves_it(cloud):
    snapshot, limits = cloud
    planned = plan(snapshot, limits=limits, evaluations=1000)
    explained = explain(snapshot, planned, limits)
    assert [each.guest for each in explained] == [g.uuid for g in snapshot.guests]
    homes = {uuid: host for host, use in planned.after.items() for uuid in use.guests}
    for each in explained:
        assert each.host == homes.get(each.guest)
        assert each.sentence
        if each.stopped_by is not None:
            assert each.better_host not in (None, each.host)


def test_a_guest_that_only_the_number_of_moves_keeps_is_told_so():
    snapshot = published_snapshot()
    limits = Limits(max_moves=1)
    by_guest = {
        each.guest: each
        for each in explain(snapshot, plan(snapshot, limits=limits), limits)
    }
    assert by_guest["VM2"].sentence.startswith("moves in wave 1: shares 339 MB")
    assert by_guest["VM0"].better_host == "M2"
    assert by_guest["VM0"].stopped_by is None
    assert "limits leave this out" in by_guest["VM0"].sentence


def test_a_full_host_is_named_with_the_rule_that_stops():
    snapshot = published_snapshot()
    small = dataclasses.replace(snapshot.hosts[2], memory_mb=1024)
    snapshot = dataclasses.replace(snapshot, hosts=(*snapshot.hosts[:2], small))
    explained = explain(snapshot, plan(snapshot), Limits())
    vm2 = next(each for each in explained if each.guest == "VM2")
    # It would share 356 MB with VM0 and VM1, and 339 MB with VM4.
    assert (vm2.better_host, vm2.stopped_by) == ("M0", "placement-memory")
