# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from membuddies_agent.guests import Guest
from membuddies_agent.procfs import Process
from membuddies_agent.shelf import Shelf
from membuddies_nova.facts import GuestFacts, Number, Reason
from membuddies_nova.fingerprint import codec, seal
from membuddies_nova.fingerprint.sample import Sample

STARTED = 1_700_000_000_000
KEY = seal.SealKey(b"k" * 32)
OTHER_KEY = seal.SealKey(b"o" * 32)
PROCESS = Process(4711, 1)
LATER_PROCESS = Process(4711, 2)


def sample(seed: int, pages: int = 2000) -> Sample:
    random = np.random.default_rng(seed)
    return Sample.of_pages(random.integers(0, 2**64, pages, dtype=np.uint64), shift=3)


def guest(
    uuid: str = "a", process: Process | None = PROCESS, reason: Reason | None = None
) -> Guest:
    return Guest(uuid=uuid, process=process, reason=reason)


@pytest.fixture
def shelf():
    return Shelf(STARTED, KEY)


def test_a_fingerprint_is_sealed_and_numbered(shelf):
    first = shelf.put("a", PROCESS, sample(1), 10.0)
    second = shelf.put("b", PROCESS, sample(2), 11.0)
    assert first.number == Number(STARTED, 1)
    assert second.number == Number(STARTED, 2)
    decoded = codec.decode(first.body)
    assert decoded.key_id == KEY.key_id
    assert decoded.items.tolist() == sample(1).sealed(KEY).items.tolist()
    assert first.digest == codec.digest(first.body)


def test_only_the_newest_is_kept(shelf):
    shelf.put("a", PROCESS, sample(1), 10.0)
    newest = shelf.put("a", PROCESS, sample(2), 20.0)
    assert shelf.newest("a") is newest
    assert shelf.newest("b") is None


def test_items_of_two_scans_running_are_stable(shelf):
    first = sample(1)
    half = np.concatenate([first.items[::2], sample(2).items])
    second = Sample.of_pages(half, shift=3)
    assert shelf.put("a", PROCESS, first, 10.0).bare.stable is None
    stable = shelf.put("a", PROCESS, second, 20.0).bare
    assert stable.model_items.tolist() == first.items[::2].tolist()
    # The third scan is compared with all of the second, not its stable part.
    third = shelf.put("a", PROCESS, second, 30.0).bare
    assert third.stable.all()


def test_a_guest_that_was_started_anew_has_no_stable_items_yet(shelf):
    shelf.put("a", PROCESS, sample(1), 10.0)
    assert shelf.put("a", LATER_PROCESS, sample(1), 20.0).bare.stable is None


def test_a_report_tells_each_guests_newest_fingerprint(shelf):
    shelf.put("a", PROCESS, sample(1), 10.0)
    newest = shelf.put("a", PROCESS, sample(1), 20.0)
    assert shelf.tell([guest(), guest("b"), guest("c", reason=Reason.PINNED)]) == (
        GuestFacts(
            uuid="a",
            counter=2,
            digest=newest.digest,
            scanned_at=20.0,
            change_fraction_per_hour=0.0,
        ),
        GuestFacts(uuid="b"),
        GuestFacts(uuid="c", reason=Reason.PINNED),
    )


def test_a_paused_guest_keeps_its_fingerprint(shelf):
    shelf.put("a", PROCESS, sample(1), 10.0)
    (line,) = shelf.tell([guest(reason=Reason.PAUSED)])
    assert (line.counter, line.reason) == (1, None)


@pytest.mark.parametrize(
    "now",
    [
        guest(reason=Reason.SHUT_OFF, process=None),
        guest(reason=Reason.INCOMING),
        guest(process=LATER_PROCESS),
    ],
)
def test_a_fingerprint_of_memory_that_is_no_more_is_dropped(shelf, now):
    shelf.put("a", PROCESS, sample(1), 10.0)
    (line,) = shelf.tell([now])
    assert line == GuestFacts(uuid="a", reason=now.reason)
    assert shelf.newest("a") is None


def test_a_guest_that_left_is_forgotten(shelf):
    shelf.put("a", PROCESS, sample(1), 10.0)
    shelf.refuse("b", PROCESS, Reason.UNREADABLE)
    assert shelf.tell([]) == ()
    assert shelf.newest("a") is None
    assert shelf.tell([guest("b")]) == (GuestFacts(uuid="b"),)


def test_a_refused_scan_gives_its_reason_until_one_works(shelf):
    assert shelf.refuse("a", PROCESS, Reason.NOT_MERGEABLE)
    assert not shelf.refuse("a", PROCESS, Reason.NOT_MERGEABLE)
    assert shelf.tell([guest()]) == (GuestFacts(uuid="a", reason=Reason.NOT_MERGEABLE),)
    shelf.put("a", PROCESS, sample(1), 10.0)
    assert shelf.tell([guest()])[0].reason is None


def test_a_reason_takes_the_place_of_an_earlier_fingerprint(shelf):
    shelf.put("a", PROCESS, sample(1), 10.0)
    shelf.refuse("a", PROCESS, Reason.GONE)
    assert shelf.tell([guest()]) == (GuestFacts(uuid="a", reason=Reason.GONE),)
    assert shelf.newest("a") is None


def test_a_reason_says_nothing_of_a_guest_that_was_started_anew(shelf):
    shelf.refuse("a", PROCESS, Reason.GONE)
    assert shelf.tell([guest(process=LATER_PROCESS)]) == (GuestFacts(uuid="a"),)


def test_a_scan_tells_how_much_has_changed_since_the_one_before(shelf):
    half = np.concatenate([sample(1).items[::2], sample(2).items])
    assert shelf.put("a", PROCESS, sample(1), 10.0).changed is None
    assert shelf.put("a", PROCESS, sample(1), 20.0).changed == 0.0
    halved = Sample.of_pages(half, shift=3)
    changed = shelf.put("a", PROCESS, halved, 30.0).changed
    assert changed == pytest.approx(0.5, abs=0.01)
    assert shelf.put("a", LATER_PROCESS, halved, 40.0).changed is None


def test_a_report_tells_how_fast_a_guest_changes_from_its_second_scan_on(shelf):
    def told(process=PROCESS):
        (line,) = shelf.tell([guest(process=process)])
        return line.change_fraction_per_hour

    half = np.concatenate([sample(1).items[::2], sample(2).items[::2]])
    halved = Sample.of_pages(half, shift=3)
    shelf.put("a", PROCESS, sample(1), 10.0)
    assert told() is None
    shelf.put("a", PROCESS, sample(1), 10.0)
    assert told() is None, "the clock did not advance"
    shelf.put("a", PROCESS, halved, 1810.0)
    fast = told()
    assert fast == pytest.approx(math.log(2) / 0.5, rel=0.05)
    shelf.seal_with(OTHER_KEY)
    assert told() == fast
    # What has come is stable a scan later, and was change until then.
    shelf.put("a", PROCESS, halved, 3610.0)
    shelf.put("a", PROCESS, halved, 5410.0)
    assert told() == pytest.approx(fast * 3 / 7, rel=0.05)
    shelf.put("a", LATER_PROCESS, sample(1), 7210.0)
    assert told(LATER_PROCESS) is None


def test_another_key_seals_every_fingerprint_anew(shelf):
    shelf.put("a", PROCESS, sample(1), 10.0)
    before = shelf.put("a", PROCESS, sample(1), 20.0)
    shelf.seal_with(OTHER_KEY)
    after = shelf.newest("a")
    assert shelf.key is OTHER_KEY
    assert after.number > before.number
    assert after.digest != before.digest
    assert after.scanned_at == 20.0
    decoded = codec.decode(after.body)
    assert decoded.items.tolist() == sample(1).sealed(OTHER_KEY).items.tolist()
    assert decoded.stable.all()
