# SPDX-License-Identifier: Apache-2.0
"""What our services wrote into the lab's database, for tests to look at."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy

from membuddies_nova.db import fingerprints, inventory, models, reports
from membuddies_nova.db.api import Database
from membuddies_nova.db.fingerprints import FingerprintSummary
from membuddies_nova.db.reports import HostReport
from membuddies_nova.facts import GuestFacts

from .lab.guests import Guest
from .lab.layout import database_url


class Records:
    """A look into the tables; use it inside the lab only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator["Records"]:
        """Connected while the context lasts."""
        database = Database(database_url("membuddies", "membuddies"))
        try:
            yield cls(database)
        finally:
            database.close()

    def status(self, guest: Guest) -> str | None:
        """A guest's status in the inventory, None if it is not there."""
        with self._database.reader() as session:
            for known in inventory.guests(session, time.time()):
                if known.uuid == guest.id:
                    return known.status
        return None

    def inventory_read_at(self) -> float:
        """When the controller began to read the newest inventory."""
        with self._database.reader() as session:
            return inventory.state(session).read_at or 0.0

    def fingerprint(self, guest: Guest) -> FingerprintSummary | None:
        """A guest's stored fingerprint."""
        with self._database.reader() as session:
            for summary in fingerprints.summaries(session):
                if summary.guest == guest.id:
                    return summary
        return None

    def is_scanned(self, guest: Guest, since: float) -> bool:
        """Whether a guest's stored fingerprint is of a later scan than a moment."""
        found = self.fingerprint(guest)
        return found is not None and found.scanned_at > since

    def body(self, guest: Guest) -> bytes:
        """The bytes of a guest's stored fingerprint."""
        with self._database.reader() as session:
            return fingerprints.bodies(session, [guest.id])[guest.id]

    def holders(self, guest: Guest) -> set[str]:
        """The hosts for which a fingerprint of a guest is held."""
        held = models.HeldFingerprint
        with self._database.reader() as session:
            found = session.scalars(
                sqlalchemy.select(held.host).where(held.guest == guest.id)
            )
            return set(found)

    def forget(self, guest: Guest) -> None:
        """Delete a guest's fingerprint, as a restored backup may."""
        table = models.Fingerprint
        with self._database.writer() as session:
            session.execute(sqlalchemy.delete(table).where(table.guest == guest.id))

    def report(self, host: str) -> HostReport:
        """The newest report of a host's agent."""
        with self._database.reader() as session:
            return next(one for one in reports.all(session) if one.host == host)

    def line(self, host: str, guest: Guest) -> GuestFacts | None:
        """What a host's agent says of a guest."""
        lines = self.report(host).guests
        return next((line for line in lines if line.uuid == guest.id), None)
