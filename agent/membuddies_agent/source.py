# SPDX-License-Identifier: Apache-2.0
"""Who reads a guest's memory for its fingerprint: this host, or the guest itself.

An operator chooses by an option of the agent, and by an extra spec for the guests
of a flavor, which Nova writes into the metadata of their libvirt domains. Nova
writes no property of an image there that it does not know itself.
"""

import dataclasses
import enum
from typing import Self

EXTRA_SPEC = "membuddies:fingerprint_source"
"""A flavor's extra spec; it overrides the option."""


class Source(enum.StrEnum):
    """``AUTO``: the host if it may read guests, else the guest."""

    HOST = "host"
    GUEST = "guest"
    AUTO = "auto"

    @classmethod
    def of_text(cls, text: str | None) -> Self | None:
        """What an extra spec says; None if it is missing or says nothing known."""
        return cls(text) if text in tuple(cls) else None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What holds on this host.

    :ivar default: the option
    :ivar host_may_read: this agent has the capabilities to read guests' memory
    """

    default: Source = Source.HOST
    host_may_read: bool = True

    def of(self, wanted: Source | None) -> Source:
        """``HOST`` or ``GUEST``, for a guest whose flavor wants this."""
        source = self.default if wanted is None else wanted
        if source is not Source.AUTO:
            return source
        return Source.HOST if self.host_may_read else Source.GUEST


HOST_READS = Choice()
"""Nothing was chosen."""
