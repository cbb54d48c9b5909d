# SPDX-License-Identifier: Apache-2.0
"""SharingWeigher in Nova's own hands: its handler, options, objects, threads."""

import logging
import math
import textwrap
import threading

import pytest
from nova.scheduler import weights

from membuddies_nova.cluster import KsmState
from membuddies_nova.scheduler import local_board
from membuddies_nova.scheduler import weigher as weigher_module
from membuddies_nova.scheduler.rare_log import RareLog
from membuddies_nova.scheduler.weigher import SharingWeigher
from tests.unit.scheduler.requests import (
    IMAGE,
    guests_coming_and_going,
    instance_uuid,
    spec,
    state,
)
from tests.unit.scoreboard.boards import GuestRow, board

WEIGHERS = [
    "nova.scheduler.weights.all_weighers",
    "membuddies_nova.scheduler.weigher.SharingWeigher",
]
ROW = ("project:p1", f"image:{IMAGE}")
HOSTS = {
    "m0": (KsmState.MERGING, 8000),
    "m1": (KsmState.MERGING, 8000),
    "m2": (KsmState.OFF, 8000),
}
KIN_ON_M0 = board(hosts=HOSTS, rows={ROW: {"m0": 250.0, "m1": 10.0, "m2": 900.0}})


@pytest.fixture
def boards(nova_conf, monkeypatch):
    """This process's copy of the board; no thread refreshes it here."""
    boards = local_board.LocalBoard(nova_conf.conf)
    monkeypatch.setattr(boards, "start", lambda: None)
    monkeypatch.setattr(local_board, "shared", lambda: boards)
    return boards


@pytest.fixture
def weigher(boards, monkeypatch):
    # A log that has not had its line of this minute.
    monkeypatch.setattr(weigher_module, "RARE_LOG", RareLog(weigher_module.__name__))
    return SharingWeigher()


def weigh(weighers, states, request):
    """What Nova's handler makes of it: weights by host, best first."""
    weighed = weights.HostWeightHandler().get_weighed_objects(weighers, states, request)
    return {each.obj.host: each.weight for each in weighed}


def test_nova_loads_it_from_the_lines_in_its_docstring(nova_conf, boards, tmp_path):
    lines = weigher_module.__doc__.split("::\n", 1)[1].split("``sharing_", 1)[0]
    file = tmp_path / "nova.conf"
    file.write_text(textwrap.dedent(lines))
    nova_conf.conf(["--config-file", str(file)])
    classes = weights.HostWeightHandler().get_matching_classes(
        nova_conf.conf.filter_scheduler.weight_classes
    )
    assert classes[-1] is SharingWeigher
    assert len(classes) == len(weights.all_weighers()) + 1
    assert nova_conf.conf.membuddies.transport_url == "rabbit://..."


def test_the_weight_is_the_fraction_times_the_multiplier(weigher, boards, nova_conf):
    boards.hold(KIN_ON_M0)
    nova_conf.config(sharing_weight_multiplier=4.0, group="membuddies")
    found = weigh([weigher], [state("m0"), state("m1"), state("m2")], spec())
    assert found == pytest.approx({"m0": 1.0, "m1": 0.04, "m2": 0.0})


def test_a_guest_goes_beside_its_kin_against_novas_own_weighers(boards, nova_conf):
    nova_conf.config(weight_classes=WEIGHERS, group="filter_scheduler")
    handler = weights.HostWeightHandler()
    weighers = [
        cls()
        for cls in handler.get_matching_classes(
            nova_conf.conf.filter_scheduler.weight_classes
        )
    ]
    states = [state("m0", free_ram_mb=1024), state("m1", free_ram_mb=8192)]
    assert next(iter(weigh(weighers, states, spec()))) == "m1"
    boards.hold(KIN_ON_M0)
    assert next(iter(weigh(weighers, states, spec()))) == "m0"
    nova_conf.config(sharing_weight_multiplier=0.0, group="membuddies")
    assert next(iter(weigh(weighers, states, spec()))) == "m1"


def test_without_a_board_every_host_weighs_zero(weigher):
    found = weigh([weigher], [state("m0"), state("m1")], spec())
    assert found == {"m0": 0.0, "m1": 0.0}


def test_beyond_the_age_limit_every_host_weighs_zero(
    weigher, boards, nova_conf, monkeypatch
):
    boards.hold(KIN_ON_M0)
    _, heard_at = boards._held
    nova_conf.config(board_age_limit_seconds=60, group="membuddies")
    for age, expected in ((59, 5.0), (61, 0.0)):
        monkeypatch.setattr(
            local_board.time, "monotonic", lambda age=age: heard_at + age
        )
        found = weigh([weigher], [state("m0"), state("m1")], spec())
        assert found["m0"] == expected


def test_a_single_weight_is_that_of_the_whole_list(weigher, boards):
    boards.hold(KIN_ON_M0)
    assert weigher._weigh_object(state("m0"), spec()) == 0.25


@pytest.mark.parametrize("jump_seconds", [-86400, 86400])
def test_a_clock_that_jumps_makes_no_board_younger_or_older(
    weigher, boards, nova_conf, monkeypatch, jump_seconds
):
    nova_conf.config(board_age_limit_seconds=60, group="membuddies")
    clock = Clock()
    monkeypatch.setattr(local_board, "time", clock)
    boards.hold(KIN_ON_M0)
    clock.wall += jump_seconds
    for passed, expected in ((59, 5.0), (2, 0.0)):
        clock.pass_seconds(passed)
        assert weigh([weigher], [state("m0"), state("m1")], spec())["m0"] == expected


class Clock:
    """The clocks of the machine, of which the wall's may be set: module ``time``."""

    def __init__(self):
        self.wall, self.since_boot = 1_800_000_000.0, 5000.0

    def pass_seconds(self, seconds):
        self.wall += seconds
        self.since_boot += seconds

    def time(self):
        return self.wall

    def monotonic(self):
        return self.since_boot


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ([], 20.0),
        ([{"cpu_weight_multiplier": "7"}], 20.0),
        ([{"sharing_weight_multiplier": "2.5"}], 2.5),
        ([{"sharing_weight_multiplier": "0"}], 0.0),
        ([{"sharing_weight_multiplier": "-1"}], -1.0),
        ([{"sharing_weight_multiplier": v} for v in ("3", "2", "4")], 2.0),
        ([{"sharing_weight_multiplier": v} for v in ("nan", "2")], 2.0),
        ([{"sharing_weight_multiplier": "nan"}], 20.0),
        ([{"sharing_weight_multiplier": "inf"}], 20.0),
        ([{"sharing_weight_multiplier": "plenty"}], 20.0),
        ([{"sharing_weight_multiplier": ""}], 20.0),
    ],
)
def test_an_aggregates_multiplier_overrides_the_option(weigher, metadata, expected):
    assert weigher.weight_multiplier(state("m0", metadata=metadata)) == expected


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_multiplier_in_nova_conf_that_is_no_number_counts_as_zero(
    weigher, nova_conf, value
):
    nova_conf.config(sharing_weight_multiplier=value, group="membuddies")
    assert weigher.weight_multiplier(state("m0")) == 0.0


def test_nonsense_in_an_aggregate_is_logged_once_not_for_each_host(weigher, caplog):
    caplog.set_level(logging.WARNING)
    metadata = [{"sharing_weight_multiplier": "much"}]
    for number in range(100):
        weigher.weight_multiplier(state(f"m{number}", metadata=metadata))
    lines = [r.getMessage() for r in caplog.records if "much" in r.getMessage()]
    assert lines == [
        "sharing_weight_multiplier of aggregate aggregate0 is ignored: 'much' is "
        "no finite number"
    ]


def test_a_host_that_cannot_be_scored_weighs_zero_and_the_others_do_not(
    weigher, boards
):
    boards.hold(KIN_ON_M0)
    broken = state("m1")
    broken.instances = None
    found = weigh([weigher], [broken, state("m0")], spec())
    assert found == {"m0": 5.0, "m1": 0.0}


def test_a_request_that_cannot_be_read_weighs_zero_everywhere(weigher, boards):
    boards.hold(KIN_ON_M0)
    assert weigh([weigher], [state("m0"), state("m1")], None) == {
        "m0": 0.0,
        "m1": 0.0,
    }
    assert weigh([weigher], [state("m0"), state("m1")], object())["m0"] == 0.0


def test_a_multiplier_that_cannot_be_read_counts_as_zero(weigher):
    assert weigher.weight_multiplier(object()) == 0.0


def test_a_host_may_gain_and_lose_guests_while_it_is_weighed(weigher, boards, caplog):
    caplog.set_level(logging.WARNING)
    uuids = [instance_uuid(number) for number in range(100)]
    # Of two guests that come and go only Nova knows.
    known = tuple(GuestRow(uuid=uuid, host="m0", row=ROW) for uuid in uuids[2:])
    boards.hold(board(hosts=HOSTS, rows={ROW: {"m0": 250.0}}, guests=known))
    host = state("m0", instances=range(50))
    request = spec()
    with guests_coming_and_going(host, uuids):
        found = {weigher._weigh_object(host, request) for _ in range(10_000)}
    assert found == {0.25}
    assert not caplog.records


def test_making_a_weigher_starts_no_thread(nova_conf):
    before = set(threading.enumerate())
    SharingWeigher()
    assert set(threading.enumerate()) == before


def test_it_keeps_nothing_of_a_request(weigher, boards):
    boards.hold(KIN_ON_M0)
    before = dict(vars(weigher))
    weigh([weigher], [state("m0"), state("m1")], spec())
    assert vars(weigher) == before
