# SPDX-License-Identifier: Apache-2.0
"""What a hard rule is."""

import abc
from typing import ClassVar

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.planner.situation import Situation


class Rule(abc.ABC):
    """One reason for which a move may be forbidden."""

    name: ClassVar[str]

    @abc.abstractmethod
    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        """Why the guest may not move to the host, None if it may."""
