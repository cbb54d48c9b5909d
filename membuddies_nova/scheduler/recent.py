# SPDX-License-Identifier: Apache-2.0
"""What the last requests told of their guests.

Nova's scheduler knows of a guest that was just placed hardly more than its uuid,
and the board does not know it before the next inventory. But its request has
passed through here. Needs no lock: two generations of a mapping, of which the
older one is dropped when the younger is full.
"""

import functools

from membuddies_nova.cluster import Guest

GENERATION = 4096
"""Guests of one generation; at most two are kept, a few hundred bytes each."""


class RecentRequests:
    """The guests of the last requests, by uuid."""

    def __init__(self) -> None:
        self._young: dict[str, Guest] = {}
        self._old: dict[str, Guest] = {}

    def remember(self, guest: Guest) -> None:
        """Keep what a request says of its guest."""
        if len(self._young) >= GENERATION:
            self._old, self._young = self._young, {}
        self._young[guest.uuid] = guest

    def guest(self, uuid: str) -> Guest | None:
        """What was kept, None if nothing or if it was long ago."""
        return self._young.get(uuid) or self._old.get(uuid)


@functools.cache
def shared() -> RecentRequests:
    """Those of this process, for all filters."""
    return RecentRequests()
