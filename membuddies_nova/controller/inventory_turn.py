# SPDX-License-Identifier: Apache-2.0
"""Has the inventory read by one controller at a time, and settles what waits.

Of many controllers the one with the lease reads; when it dies another takes
over. After each reading the fingerprints that were held for it are stored or
dropped.
"""

from collections.abc import Callable

from oslo_log import log as logging

from membuddies_nova.controller.tally import Tally
from membuddies_nova.db import held, leases
from membuddies_nova.db.api import Database

LOG = logging.getLogger(__name__)

LEASE = "inventory"
_LEASE_PERIODS = 2.0
_NAMED = 5


class InventoryTurn:
    """One controller's part in keeping the inventory fresh. For one thread.

    :param refresh: reads the cloud into the database; whether that worked
    :param holder: names this process, unlike any other
    :param period_seconds: between two readings
    """

    def __init__(
        self,
        database: Database,
        refresh: Callable[[Database, float], bool],
        tally: Tally,
        *,
        holder: str,
        period_seconds: float,
    ) -> None:
        self._database = database
        self._refresh = refresh
        self._tally = tally
        self._holder = holder
        self.period_seconds = period_seconds

    def take(self, now: float) -> bool:
        """Read the inventory if it is this controller's turn.

        :param now: seconds since the epoch
        :returns: whether it was
        :raises DatabaseUnavailableError: if it does not answer
        """
        ours = self._database.write(
            lambda session: leases.acquire_or_renew(
                session,
                LEASE,
                self._holder,
                now,
                self.period_seconds * _LEASE_PERIODS,
            )
        )
        if ours and self._refresh(self._database, now):
            self._settle(now)
        return ours

    def give_up(self) -> None:
        """Let another controller read at once."""
        self._database.write(
            lambda session: leases.release(session, LEASE, self._holder)
        )

    def _settle(self, now: float) -> None:
        settled = self._database.write(
            lambda session: held.settle(session, now, self.period_seconds)
        )
        self._tally.count("settled", len(settled.stored))
        if settled.dropped:
            named = ", ".join(
                f"{one.guest} from {one.host}" for one in settled.dropped[:_NAMED]
            )
            more = len(settled.dropped) - _NAMED
            self._tally.warn(
                "foreign",
                f"Dropped {len(settled.dropped)} fingerprints of guests that Nova "
                f"does not see on the sender's host: {named}"
                f"{f' and {more} more' if more > 0 else ''}",
                len(settled.dropped),
            )
