# SPDX-License-Identifier: Apache-2.0
"""Who reads a guest's memory on this host.

An operator chooses by an option of the agent and by an extra spec for the guests of
a flavor, which Nova writes into the metadata of their libvirt domains. Nova writes
no property of an image there that it does not know itself: what an image says comes
with the controller's answers.
"""

import dataclasses

from membuddies_nova.facts import Source


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What holds on this host.

    :ivar default: the option
    :ivar host_may_read: this agent has the capabilities to read guests' memory
    """

    default: Source = Source.HOST
    host_may_read: bool = True

    def of(self, wanted: Source | None) -> Source:
        """``HOST`` or ``GUEST``, for a guest for which somebody wants this."""
        source = self.default if wanted is None else wanted
        if source is not Source.AUTO:
            return source
        return Source.HOST if self.host_may_read else Source.GUEST


HOST_READS = Choice()
"""Nothing was chosen."""
