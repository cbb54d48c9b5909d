# SPDX-License-Identifier: Apache-2.0
"""How many migrations run at a time and in an hour."""

import dataclasses

from membuddies_nova.rebalancer.policy import Caps
from tests.functional.rebalancer.execution.bench import NOW, RULES
from tests.functional.rebalancer.rows import move


def test_the_caps_count_migrations_of_others(bench):
    server = bench.emulator.add_server("c1")
    foreign = bench.emulator.add_record(
        bench.emulator.add_server("c1"), "c3", user="somebody-else"
    )
    bench.read_inventory()
    bench.change(caps=dataclasses.replace(RULES.caps, per_source=1))
    plan_id = bench.store(move(server, "c2"))

    bench.steps(5)
    assert bench.states(plan_id) == ["planned"]
    assert "leave host c1" in bench.executor.waits_for
    foreign.status = "completed"
    bench.steps(10)

    assert bench.states(plan_id) == ["done"]


def test_the_caps_hold_back_our_own_wave(bench):
    servers = [bench.emulator.add_server("c1", held=True) for _ in range(3)]
    bench.read_inventory()
    bench.change(caps=Caps(per_source=9, per_destination=9, in_total=2, per_hour=100))
    plan_id = bench.store(*(move(server, "c2") for server in servers))

    bench.steps(6)

    assert bench.states(plan_id) == ["running", "running", "planned"]


def test_the_cap_of_an_hour_counts_what_nova_has_seen(bench):
    server = bench.emulator.add_server("c1")
    other = bench.emulator.add_server("c2")
    record = bench.emulator.add_record(other, "c3", status="completed")
    record.created = record.created.fromtimestamp(NOW - 60, record.created.tzinfo)
    bench.read_inventory()
    bench.change(caps=dataclasses.replace(RULES.caps, per_hour=1))
    plan_id = bench.store(move(server, "c2"))

    bench.steps(5)
    assert bench.states(plan_id) == ["planned"]
    assert "within the last hour" in bench.executor.waits_for

    bench.clock.now = NOW + 3541
    bench.read_inventory()
    bench.steps(10)
    assert bench.states(plan_id) == ["done"]
