# SPDX-License-Identifier: Apache-2.0
"""The controller's board, built from a real database."""

import dataclasses
import threading
import uuid

import numpy as np
import pytest

from membuddies_nova.cluster import Guest, Host, Image, KsmState, Scope
from membuddies_nova.controller import board as board_module
from membuddies_nova.controller.board import Board
from membuddies_nova.db import fingerprints, inventory, reports
from membuddies_nova.db.api import Database, DatabaseUnavailableError
from membuddies_nova.facts import GuestFacts, HostFacts, KsmFacts, Number, Reason
from membuddies_nova.fingerprint import codec as fingerprint_codec
from membuddies_nova.fingerprint.sample import Sample
from membuddies_nova.fingerprint.seal import SealKey
from membuddies_nova.scoreboard import codec
from membuddies_nova.scoreboard.line import HostLine, ImageLine

KEY = SealKey(bytes(32))
MB = 256
NOW = 1_800_000_000.0
A, B, C = (str(uuid.UUID(int=number)) for number in (1, 2, 3))


def guest(name, host, **facts):
    facts = {"project": "p1", "image": "i1", "age_seconds": 10.0, **facts}
    return Guest(uuid=name, name=name, memory_mb=1024, host=host, **facts)


def body_of(first_mb, last_mb):
    """A fingerprint of all pages of some megabytes of one endless content."""
    ids = np.arange(first_mb * MB, last_mb * MB, dtype=np.uint64)
    ids = ids * np.uint64(0x9E3779B97F4A7C15)
    return fingerprint_codec.encode(
        Sample.of_pages(np.unique(ids), shift=0).sealed(KEY)
    )


@pytest.fixture
def cloud(database):
    return Cloud(database)


class Cloud:
    """Writes to the database what readers and agents would."""

    def __init__(self, database):
        self.database = database
        self.counter = 0

    def inventory(self, *guests, now=NOW, images=()):
        hosts = [Host(name=name, memory_mb=4096) for name in ("m0", "m1")]
        with self.database.writer() as session:
            inventory.replace(session, hosts, guests, now, images)

    def report(self, host, *guests, now=NOW, started=NOW - 60, **ksm):
        facts = HostFacts(
            mem_total_bytes=2**32,
            mem_available_bytes=2**31,
            ksm=KsmFacts(**{"state": KsmState.MERGING, **ksm}),
        )
        self.counter += 1
        number = Number(int(1000 * started), self.counter)
        with self.database.writer() as session:
            reports.store(session, host, number, facts, guests, now, tag="", key_id="")

    def fingerprint(self, name, host, body, now=NOW):
        self.counter += 1
        number = Number(1, self.counter)
        digest = fingerprint_codec.digest(body)
        return self.database.write(
            lambda session: fingerprints.store(
                session, name, host, number, digest, body, now, now
            )
        )

    def board(self, **limits):
        limits = {
            "report_age_limit_seconds": 300.0,
            "full_scan_age_limit_seconds": 86400.0,
            "forget_fingerprint_seconds": 604800.0,
            **limits,
        }
        return Board(self.database, scope=Scope.PROJECT, **limits)


def read(board, version=None, now=NOW):
    answer = board.current(version, now)
    data = codec.decompress(answer.body)
    assert codec.version(data) == answer.version
    return codec.decode(data)


def shared(value, image="i1"):
    row = value.row("project:p1", [f"image:{image}"])
    return None if row is None else value.shared_mb(row)


def test_a_fingerprint_is_on_the_next_board(cloud):
    cloud.inventory(guest(A, "m0"))
    cloud.report("m0", GuestFacts(uuid=A))
    board = cloud.board()
    assert shared(read(board)) is None
    cloud.fingerprint(A, "m0", body_of(0, 8))
    value = read(board, now=NOW + board_module.REBUILD_SECONDS)
    assert shared(value) == {"m0": 4.0}
    assert value.host("m0") == HostLine(KsmState.MERGING, 2048)
    # No agent reports from there.
    assert value.host("m1") == HostLine(KsmState.UNKNOWN, None)


def test_an_unchanged_board_is_answered_without_a_body(cloud):
    cloud.inventory(guest(A, "m0"))
    board = cloud.board()
    version = board.current(None, NOW).version
    assert board.current(version, NOW).body is None
    assert board.current(version, NOW + 60).body is None
    assert board.current("another", NOW).body is not None


def test_every_controller_writes_the_same_board(cloud):
    cloud.inventory(guest(B, "m1"), guest(A, "m0"))
    cloud.fingerprint(B, "m1", body_of(0, 8))
    first = cloud.board()
    first.current(None, NOW)
    cloud.fingerprint(A, "m0", body_of(4, 8))
    later = NOW + 60
    assert (
        first.current(None, later).version == cloud.board().current(None, later).version
    )


def test_a_newer_fingerprint_replaces_the_older(cloud):
    cloud.inventory(guest(A, "m0"))
    board = cloud.board()
    for size_mb, expected in ((8, 4.0), (2, 1.0)):
        cloud.fingerprint(A, "m0", body_of(0, size_mb))
        assert shared(read(board, now=NOW + size_mb * 10)) == {"m0": expected}


def test_a_guest_that_moved_takes_its_pages_along(cloud):
    cloud.inventory(guest(A, "m0"))
    cloud.fingerprint(A, "m0", body_of(0, 8))
    board = cloud.board()
    read(board)
    cloud.inventory(guest(A, "m1"), now=NOW + 5)
    assert shared(read(board, now=NOW + 10)) == {"m1": 4.0}


def test_a_guest_that_is_gone_and_comes_back_is_read_again(cloud):
    cloud.inventory(guest(A, "m0"), guest(B, "m1"))
    cloud.fingerprint(A, "m0", body_of(0, 8))
    board = cloud.board()
    before = shared(read(board))
    cloud.inventory(guest(B, "m1"), now=NOW + 10)
    assert shared(read(board, now=NOW + 10)) is None
    cloud.inventory(guest(A, "m0"), guest(B, "m1"), now=NOW + 20)
    assert shared(read(board, now=NOW + 20)) == before


def test_a_damaged_fingerprint_counts_as_none(cloud):
    cloud.inventory(guest(A, "m0"), guest(B, "m1"))
    cloud.fingerprint(A, "m0", b"no fingerprint")
    cloud.fingerprint(B, "m1", body_of(0, 8))
    assert shared(read(cloud.board())) == {"m1": 4.0}


@pytest.mark.parametrize(
    ("age_seconds", "reason", "pending"),
    [
        (10.0, None, True),
        (None, None, True),
        (10.0, Reason.TOO_YOUNG, True),
        (10.0, Reason.INCOMING, True),
        (10.0, Reason.HUGE_PAGES, False),
        (board_module.PENDING_SECONDS, None, False),
    ],
)
def test_a_guest_booked_lately_is_pending(cloud, age_seconds, reason, pending):
    cloud.inventory(guest(A, "m0", age_seconds=age_seconds), guest(B, "m0"))
    cloud.fingerprint(B, "m0", body_of(0, 8))
    cloud.report("m0", GuestFacts(uuid=A, reason=reason))
    value = read(cloud.board())
    assert value.pending("m0") == ({A} if pending else frozenset())
    assert value.row_name(value.guest(A).row) == "image:i1"


def test_a_guest_with_a_fingerprint_is_not_pending(cloud):
    cloud.inventory(guest(A, "m0"))
    cloud.fingerprint(A, "m0", body_of(0, 8))
    assert read(cloud.board()).settled("m0") == {A}


def test_guests_without_a_host_are_not_on_the_board(cloud):
    cloud.inventory(guest(A, None), guest(B, "elsewhere"), guest(C, "m0"))
    value = read(cloud.board())
    assert [value.guest(name) is not None for name in (A, B, C)] == [
        False,
        False,
        True,
    ]


def test_a_host_whose_report_is_too_old_promises_nothing(cloud):
    cloud.inventory()
    cloud.report("m0")
    board = cloud.board(report_age_limit_seconds=100.0)
    assert read(board, now=NOW + 100).host("m0").ksm is KsmState.MERGING
    assert read(board, now=NOW + 110).host("m0").ksm is KsmState.UNKNOWN


@pytest.mark.parametrize(
    ("state", "age_seconds", "expected"),
    [
        (KsmState.MERGING, 3600.0, KsmState.MERGING),
        (KsmState.MERGING, 3601.0, KsmState.UNKNOWN),
        (KsmState.MERGING, None, KsmState.MERGING),
        (KsmState.MANAGED, 3601.0, KsmState.MANAGED),
        (KsmState.OFF, 3601.0, KsmState.OFF),
    ],
)
def test_a_host_that_ends_no_full_scan_promises_nothing(
    cloud, state, age_seconds, expected
):
    cloud.inventory()
    cloud.report("m0", state=state, full_scan_age_seconds=age_seconds)
    board = cloud.board(full_scan_age_limit_seconds=3600.0)
    assert read(board).host("m0").ksm is expected


@pytest.mark.parametrize(
    ("started", "expected"),
    [(NOW - 3600, KsmState.MERGING), (NOW - 3601, KsmState.UNKNOWN)],
)
def test_a_full_scan_that_an_agent_never_saw_counts_from_its_start(
    cloud, started, expected
):
    cloud.inventory()
    cloud.report("m0", started=started)
    board = cloud.board(full_scan_age_limit_seconds=3600.0)
    assert read(board).host("m0").ksm is expected


def test_facts_that_filters_need_are_on_the_board(cloud):
    cloud.inventory()
    cloud.report("m0", pages_sharing=MB * 100 + 1)
    line = read(cloud.board()).host("m0")
    assert (line.available_mb, line.sharing_mb) == (2048, 128)
    assert (line.pressure, line.swap_in_pages_per_second) == (None, None)


def test_what_glance_tells_of_images_is_on_the_board(cloud):
    cloud.inventory(images=[Image(id=A, os_distro="debian", os_version="12", base=B)])
    assert read(cloud.board()).image(A) == ImageLine("debian", "12", B)


def test_a_shelved_guest_keeps_its_place_on_the_board(cloud):
    cloud.inventory(guest(A, "m0"), guest(B, "m1"))
    cloud.fingerprint(A, "m0", body_of(0, 8))
    cloud.fingerprint(B, "m1", body_of(0, 8))
    board = cloud.board()
    read(board)
    cloud.inventory(guest(A, None, power_state=4), guest(B, "m1"), now=NOW + 10)
    value = read(board, now=NOW + 10)
    assert value.own_shared_mb(value.guest(A)) == {"m1": 8.0}


def test_a_board_is_not_built_anew_for_every_question(cloud):
    cloud.inventory(guest(A, "m0"))
    board = cloud.board()
    read(board)
    cloud.fingerprint(A, "m0", body_of(0, 8))
    assert shared(read(board, now=NOW + 0.4)) is None
    # Nor for longer when the clock is set back.
    assert shared(read(board, now=NOW - 3600)) == {"m0": 4.0}


def test_the_last_board_is_answered_while_another_thread_builds(cloud, monkeypatch):
    cloud.inventory(guest(A, "m0"))
    board = cloud.board()
    version = board.current(None, NOW).version
    building, finish = threading.Event(), threading.Event()

    def slow(session, now, *limits):
        building.set()
        finish.wait()
        return []

    monkeypatch.setattr(board_module.inventory, "hosts", slow)
    thread = threading.Thread(target=board.current, args=(None, NOW + 10))
    thread.start()
    try:
        assert building.wait(60)
        assert board.current(None, NOW + 10).version == version
    finally:
        finish.set()
        thread.join()
    assert board.current(None, NOW + 10).version != version


def test_a_build_that_fails_is_tried_again(cloud, monkeypatch):
    cloud.inventory(guest(A, "m0"))
    board = cloud.board()
    board.current(None, NOW)
    with monkeypatch.context() as away:
        away.setattr(board, "_database", Database("sqlite:////nowhere/x.sqlite"))
        with pytest.raises(DatabaseUnavailableError):
            board.current(None, NOW + 10)
    assert board.current(None, NOW + 10).body is not None


def test_while_the_database_is_away_there_is_no_board(tmp_path):
    board = Cloud(Database(f"sqlite:///{tmp_path}/missing/x.sqlite")).board()
    with pytest.raises(DatabaseUnavailableError):
        board.current(None, NOW)


def test_a_guest_that_never_changes_is_decoded_once(cloud, monkeypatch):
    decoded = []
    decode = fingerprint_codec.decode
    monkeypatch.setattr(
        board_module.fingerprint_codec,
        "decode",
        lambda body: decoded.append(body) or decode(body),
    )
    cloud.inventory(guest(A, "m0"))
    cloud.fingerprint(A, "m0", body_of(0, 8))
    board = cloud.board()
    for moment in range(3):
        read(board, now=NOW + moment * 60)
    assert len(decoded) == 1


def test_profiles_are_learned_anew_when_an_image_becomes_known(cloud):
    unknown = dataclasses.replace(guest(A, "m0"), image=None)
    cloud.inventory(unknown)
    cloud.fingerprint(A, "m0", body_of(0, 8))
    board = cloud.board()
    assert shared(read(board)) is None
    cloud.inventory(guest(A, "m0"), now=NOW + 10)
    assert shared(read(board, now=NOW + 10)) == {"m0": 4.0}


WEEK_SECONDS = 604800.0


def test_a_guest_that_no_scan_saw_for_long_teaches_and_holds_nothing(cloud):
    cloud.inventory(guest(A, "m0"), guest(B, "m1"))
    cloud.fingerprint(A, "m0", body_of(0, 8), now=NOW)
    cloud.fingerprint(B, "m1", body_of(0, 4), now=NOW + 60)
    board = cloud.board()
    both = read(board, now=NOW + WEEK_SECONDS)
    assert shared(both) == {"m0": pytest.approx(8 / 3, abs=0.2), "m1": 2.75}
    assert both.own_shared_mb(both.guest(A)) == {"m1": 4.0}
    late = read(board, now=NOW + WEEK_SECONDS + 10)
    assert shared(late) == {"m1": 2.0}
    assert late.own_shared_mb(late.guest(A)) == {}
    # It is known by its profile, as a guest without a fingerprint is.
    assert late.row_name(late.guest(A).row) == "image:i1"
    assert shared(read(cloud.board(), now=NOW + WEEK_SECONDS + 10)) == {"m1": 2.0}


def test_a_forgotten_guest_counts_again_with_its_next_scan(cloud):
    cloud.inventory(guest(A, "m0"))
    cloud.fingerprint(A, "m0", body_of(0, 8), now=NOW)
    board = cloud.board()
    later = NOW + WEEK_SECONDS + 10
    assert shared(read(board, now=later)) is None
    cloud.fingerprint(A, "m0", body_of(0, 4), now=later)
    assert shared(read(board, now=later + 1)) == {"m0": 2.0}
    # The next scan finds the same pages.
    again = later + WEEK_SECONDS + 10
    assert shared(read(board, now=again)) is None
    cloud.fingerprint(A, "m0", body_of(0, 4), now=again)
    assert shared(read(board, now=again + 10)) == {"m0": 2.0}


def test_controllers_that_build_within_ten_seconds_agree_on_young_guests(cloud):
    cloud.inventory(
        guest(A, "m0", age_seconds=895.0),
        guest(B, "m1", age_seconds=50.0),
        guest(C, "m1", age_seconds=94.0),
    )
    cloud.fingerprint(B, "m1", body_of(0, 8))
    cloud.fingerprint(C, "m1", body_of(4, 8))
    first, second = cloud.board(), cloud.board()
    for step in range(4):
        early = first.current(None, NOW + 10 * step + 0.5)
        late = second.current(None, NOW + 10 * step + 9.5)
        assert early.version == late.version
    assert read(first, now=NOW + 50).pending("m0") == frozenset()


def test_guests_are_read_again_only_with_a_new_inventory(cloud, monkeypatch):
    found = []
    guests = inventory.guests
    monkeypatch.setattr(
        board_module.inventory,
        "guests",
        lambda *asked: found.append(asked) or guests(*asked),
    )
    cloud.inventory(guest(A, "m0", age_seconds=100_000.0))
    board = cloud.board()
    for moment in range(3):
        read(board, now=NOW + moment * 60)
    assert len(found) == 1
    cloud.inventory(guest(A, "m1", age_seconds=100_000.0), now=NOW + 200)
    assert read(board, now=NOW + 200).guest(A).host == "m1"
