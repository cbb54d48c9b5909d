# SPDX-License-Identifier: Apache-2.0
"""What requests told, for as long as nobody else tells it."""

from membuddies_nova.cluster import Guest
from membuddies_nova.scheduler.recent import GENERATION, RecentRequests


def guest(number, project="p1"):
    return Guest(uuid=str(number), name="", memory_mb=1, project=project)


def test_a_guest_is_known_by_its_last_request():
    memory = RecentRequests()
    assert memory.guest("1") is None
    memory.remember(guest(1))
    memory.remember(guest(1, "p2"))
    assert memory.guest("1").project == "p2"


def test_the_last_generation_is_known_and_what_is_kept_has_an_end():
    memory = RecentRequests()
    for number in range(10 * GENERATION):
        memory.remember(guest(number))
    known = [memory.guest(str(number)) for number in range(10 * GENERATION)]
    assert all(known[-GENERATION:])
    assert len([one for one in known if one]) <= 2 * GENERATION
