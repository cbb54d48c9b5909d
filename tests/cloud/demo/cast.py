# SPDX-License-Identifier: Apache-2.0
"""Who plays: the guests of the demo, and the unlucky mix in which they start."""

from dataclasses import dataclass

from tests.cloud.lab.guests import Guest, Guests
from tests.cloud.lab.images import GuestImage
from tests.cloud.lab.layout import HOSTS

TENANT = "red"

_FIRST, _SECOND, _THIRD = (host.service_host for host in HOSTS)


@dataclass(frozen=True)
class Part:
    """One guest: ``host`` is where the mix puts it, None lets Nova choose."""

    name: str
    role: str
    host: str | None = None

    def start(self, guests: Guests) -> Guest:
        """Asks Nova for the guest and waits for nothing."""
        return guests.start(self.name, GuestImage(self.role), self.host)


# The build servers are together, on the fullest host: a third one has its kin where
# Nova's own weighers would not put it.  Everybody else is apart from its like.
MIX = (
    Part("build-1", "build", _FIRST),
    Part("build-2", "build", _FIRST),
    Part("web-1", "web", _FIRST),
    Part("database-1", "database", _FIRST),
    Part("web-2", "web", _SECOND),
    Part("database-2", "database", _SECOND),
    Part("queue-1", "queue", _SECOND),
    Part("queue-2", "queue", _THIRD),
)

NEWCOMER = Part("build-3", "build")
UNAWARE_NEWCOMER = Part("build-4", "build")
