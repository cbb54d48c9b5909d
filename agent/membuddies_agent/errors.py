# SPDX-License-Identifier: Apache-2.0
"""The agent's one error: a guest that has no fingerprint, with the reason.

It is for whoever scans: the reason goes into the report, the detail into the
log or to the operator's terminal. It never means that the agent itself failed.
"""

from membuddies_nova import exceptions
from membuddies_nova.facts import Reason


class NoFingerprint(exceptions.MembuddiesError):
    """A guest cannot be fingerprinted now.

    :ivar reason: as the report tells it
    """

    def __init__(self, reason: Reason, detail: str | None = None) -> None:
        super().__init__(detail or reason.sentence)
        self.reason = reason


class ScanInterrupted(exceptions.MembuddiesError):
    """The agent is being stopped, so the scan was given up."""
