# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from membuddies_agent.domain import Domain, DomainState
from membuddies_agent.guests import Guest, guests
from membuddies_agent.procfs import Process
from membuddies_agent.source import Choice
from membuddies_nova.facts import Reason, Source

UUID = "0a1b2c3d-0000-4000-8000-000000000001"
PROCESS = Process(4711, 100)
OLD_ENOUGH = 100.0
RUNNING = Domain(
    uuid=UUID,
    name="instance-1",
    state=DomainState.RUNNING,
    nova=True,
    qemu=True,
    huge_pages=False,
    shared_memory=False,
    pinned=False,
    unmergeable=False,
    memory_came=False,
)


def listed(**changes: object) -> Guest:
    domain = dataclasses.replace(RUNNING, **changes)
    (guest,) = guests([domain], {UUID: PROCESS}, OLD_ENOUGH)
    return guest


def test_a_running_guest_of_novas_can_be_scanned():
    assert listed() == Guest(uuid=UUID, process=PROCESS, reason=None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"qemu": False}, Reason.NOT_QEMU),
        ({"nova": False}, Reason.NOT_NOVA),
        ({"state": DomainState.SHUT_OFF}, Reason.SHUT_OFF),
        ({"state": DomainState.INCOMING}, Reason.INCOMING),
        ({"state": DomainState.PAUSED}, Reason.PAUSED),
        ({"huge_pages": True}, Reason.HUGE_PAGES),
        ({"shared_memory": True}, Reason.SHARED_MEMORY),
        ({"unmergeable": True}, Reason.NOT_MERGEABLE),
        ({"pinned": True}, Reason.PINNED),
        # What stays so is told before what passes.
        ({"state": DomainState.PAUSED, "pinned": True}, Reason.PINNED),
        ({"state": DomainState.SHUT_OFF, "nova": False}, Reason.NOT_NOVA),
    ],
)
def test_a_guest_that_cannot_be_scanned_has_a_reason(changes, reason):
    assert listed(**changes).reason is reason


def test_a_domain_without_a_process_here_is_not_scanned():
    (guest,) = guests([RUNNING], {"another": PROCESS}, OLD_ENOUGH)
    assert guest == Guest(uuid=UUID, process=None, reason=Reason.NOT_QEMU)


def test_a_domain_that_is_shut_off_needs_no_process():
    off = dataclasses.replace(RUNNING, state=DomainState.SHUT_OFF)
    (guest,) = guests([off], {}, OLD_ENOUGH)
    assert guest.reason is Reason.SHUT_OFF


def test_a_guest_that_has_just_started_is_too_young():
    (guest,) = guests([RUNNING], {UUID: PROCESS}, young_ticks=99.0)
    assert guest.reason is Reason.TOO_YOUNG


def test_a_guest_that_came_by_live_migration_is_not_too_young():
    came = dataclasses.replace(RUNNING, memory_came=True)
    (guest,) = guests([came], {UUID: PROCESS}, young_ticks=99.0)
    assert guest.reason is None


def test_a_young_guest_that_is_paused_is_told_to_be_paused():
    paused = dataclasses.replace(RUNNING, state=DomainState.PAUSED)
    (guest,) = guests([paused], {UUID: PROCESS}, young_ticks=99.0)
    assert guest.reason is Reason.PAUSED


@pytest.mark.parametrize(
    ("option", "may_read", "flavor", "source"),
    [
        (Source.HOST, True, None, Source.HOST),
        (Source.HOST, False, None, Source.HOST),
        (Source.GUEST, True, None, Source.GUEST),
        (Source.AUTO, True, None, Source.HOST),
        (Source.AUTO, False, None, Source.GUEST),
        (Source.HOST, True, Source.GUEST, Source.GUEST),
        (Source.GUEST, True, Source.HOST, Source.HOST),
        (Source.HOST, False, Source.AUTO, Source.GUEST),
    ],
)
def test_the_flavor_then_the_option_says_who_reads(option, may_read, flavor, source):
    domain = dataclasses.replace(RUNNING, source=flavor, memory_bytes=4096)
    choice = Choice(default=option, host_may_read=may_read)
    (guest,) = guests([domain], {UUID: PROCESS}, OLD_ENOUGH, choice)
    assert (guest.source, guest.memory_bytes) == (source, 4096)


def test_the_domains_own_word_goes_before_the_controllers():
    told = {UUID: Source.GUEST}
    (guest,) = guests([RUNNING], {UUID: PROCESS}, OLD_ENOUGH, told=told)
    assert guest.source is Source.GUEST
    flavor = dataclasses.replace(RUNNING, source=Source.HOST)
    (guest,) = guests([flavor], {UUID: PROCESS}, OLD_ENOUGH, told=told)
    assert guest.source is Source.HOST
