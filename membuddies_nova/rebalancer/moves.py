# SPDX-License-Identifier: Apache-2.0
"""One move from its claim to its end, so that it never starts twice.

For the service, which calls :meth:`Mover.start` once and :meth:`Mover.advance`
again and again. Nothing here waits: each call looks at Nova, takes at most one
step and writes it down, so that any rebalancer can go on where another died.

    planned    nobody has touched it
    claimed    ours, by compare-and-set; Nova was not asked yet
    unknown    Nova may have been asked: written *before* the request is sent,
               with the newest migration record that the guest had until then
    running    Nova's record of the migration is known, and followed to its end
    done | failed | skipped | cancelled

So a move that is found ``claimed`` can be begun again, and one that is found
``unknown`` is never asked for again: its migration is the first live migration
record after the one written down, from our source to our destination by our
user. A process that stalls between the two writes cannot go on once another has
taken the move over, because each write names the holder that it expects.
"""

import dataclasses
from collections.abc import Callable

from oslo_log import log as logging

from membuddies_nova.db import moves
from membuddies_nova.db.api import Database
from membuddies_nova.db.moves import MoveRecord
from membuddies_nova.rebalancer import history, migrations
from membuddies_nova.rebalancer.migrations import Migration, Nova, NovaUnavailableError

LOG = logging.getLogger(__name__)

Check = Callable[[MoveRecord], str | None]


@dataclasses.dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what Nova should do soon.

    :ivar record_seconds: for the migration record after the request
    :ivar settle_seconds: for an ACTIVE guest without a task after its end
    """

    record_seconds: float
    settle_seconds: float


class Mover:
    """Moves guests through Nova and keeps their rows.

    :param holder: who claims; unique to this process
    :param clock: seconds since the epoch
    :param check: why a move may not start any more by our own rules, asked right
        before Nova is asked; None if it may
    """

    def __init__(
        self,
        database: Database,
        nova: Nova,
        *,
        holder: str,
        clock: Callable[[], float],
        check: Check,
        patience: Patience,
    ) -> None:
        self._database = database
        self._nova = nova
        self._holder = holder
        self._clock = clock
        self._check = check
        self._patience = patience
        # Since when a move's guest is waited for, and which moves are aborted:
        # lost with the process, which at worst waits and aborts once more.
        self._settling: dict[str, float] = {}
        self._aborted: set[str] = set()

    def start(self, record: MoveRecord) -> None:
        """Claim a planned move and ask Nova for it.

        :raises NovaUnavailableError: nothing was asked; ``advance`` goes on
        """
        with self._database.writer() as session:
            claimed = moves.claim(
                session, record.id, holder=self._holder, now=self._clock()
            )
        if claimed:
            self._begin(record)

    def advance(self, record: MoveRecord, *, begin: bool, abort: bool) -> None:
        """Take the next step of a move that was claimed.

        :param begin: whether a claimed move may still be asked for; else it ends
            as cancelled
        :param abort: whether its migration shall be ended
        :raises NovaUnavailableError: nothing changed; call again later
        """
        if record.holder != self._holder and not self._take_over(record):
            return
        if record.state == "claimed":
            if begin:
                self._begin(record)
            else:
                self._finish(record, "cancelled", "its plan does not run any more")
        elif record.state == "unknown":
            self._find(record)
        elif record.state == "running":
            self._follow(record, abort)

    def _take_over(self, record: MoveRecord) -> bool:
        with self._database.writer() as session:
            taken = moves.take_over(
                session, record.id, from_holder=record.holder, holder=self._holder
            )
        if taken:
            LOG.info(
                "Move of guest %s: taken over from %s as %s",
                record.move.guest,
                record.holder,
                record.state,
            )
        return taken

    def _begin(self, record: MoveRecord) -> None:
        """From claimed: look once more, write down that we ask, and ask."""
        move = record.move
        refusal = self._refusal(record) or self._check(record)
        if refusal is not None:
            self._finish(record, "skipped", refusal, expected="claimed")
            return
        past = self._nova.migrations(move.guest)
        with self._database.writer() as session:
            ours = moves.progress(
                session,
                record.id,
                holder=self._holder,
                expected=("claimed",),
                state="unknown",
                baseline_id=max((migration.id for migration in past), default=0),
                now=self._clock(),
            )
        if not ours:
            LOG.warning("Move of guest %s: claimed by another", move.guest)
            return
        refused = unknown = None
        try:
            self._nova.start(move.guest, move.destination)
        except migrations.RefusedError as error:
            refused = str(error)
        except migrations.OutcomeUnknownError as error:
            unknown = str(error)
        if refused is not None:
            self._finish(
                record, "failed", f"{history.REFUSED}{refused}", expected="unknown"
            )
        elif unknown is not None:
            LOG.warning(
                "Move of guest %s to host %s: outcome unknown (%s); looking for its "
                "migration record",
                move.guest,
                move.destination,
                unknown,
            )
        else:
            LOG.info(
                "Move of guest %s from host %s to host %s: requested",
                move.guest,
                move.source,
                move.destination,
            )

    def _refusal(self, record: MoveRecord) -> str | None:
        """Why Nova's state of this moment forbids the move."""
        move = record.move
        server = self._nova.server(move.guest)
        if server is None:
            return "the guest is gone"
        if server.host != move.source:
            return f"the guest is on host {server.host}, not on {move.source}"
        if server.status != "ACTIVE":
            return f"the guest is {server.status}, not ACTIVE"
        if server.task_state is not None:
            return f"the guest is busy ({server.task_state})"
        if server.locked:
            return "the guest is locked"
        return self._nova.host_refusal(move.destination)

    def _find(self, record: MoveRecord) -> None:
        """From unknown: find the record of the migration that we asked for."""
        move = record.move
        migration = self._own(record, self._nova.migrations(move.guest))
        if migration is not None:
            with self._database.writer() as session:
                moves.progress(
                    session,
                    record.id,
                    holder=self._holder,
                    expected=("unknown",),
                    state="running",
                    migration_id=migration.id,
                    now=self._clock(),
                )
            LOG.info("Move of guest %s: it is migration %s", move.guest, migration.id)
            return
        waited = self._clock() - (record.requested_at or record.claimed_at or 0.0)
        if waited < self._patience.record_seconds:
            return
        server = self._nova.server(move.guest)
        if server is None:
            self._finish(record, "failed", "the guest is gone")
        else:
            self._finish(
                record,
                "failed",
                f"Nova has no record of the migration {waited:.0f} s after the "
                f"request, and the guest is {server.status} on host {server.host} "
                f"(task: {server.task_state}); not asked again",
            )

    def _own(self, record: MoveRecord, found: list[Migration]) -> Migration | None:
        """The first migration that can only be the one of this move."""
        user = self._nova.user()
        for migration in found:
            if (
                migration.id > (record.baseline_id or 0)
                and migration.source == record.move.source
                # Nova names the destination only once its scheduler agreed.
                and migration.destination in (None, record.move.destination)
                and (None in (user, migration.user) or user == migration.user)
            ):
                return migration
        return None

    def _follow(self, record: MoveRecord, abort: bool) -> None:
        """From running: wait for the record's end, then look at the guest."""
        found = [
            migration
            for migration in self._nova.migrations(record.move.guest)
            if migration.id == record.migration_id
        ]
        if not found:
            self._settle(record, "Nova's record of the migration has vanished")
        elif found[0].succeeded:
            self._settle(record, None)
        elif found[0].failed:
            self._failed(record, found[0], abort)
        elif abort and record.id not in self._aborted:
            self._abort(record, found[0])

    def _settle(self, record: MoveRecord, doubt: str | None) -> None:
        """Done, once the guest is ACTIVE on its new host without a task."""
        move = record.move
        server = self._nova.server(move.guest)
        if server is None:
            self._finish(record, "failed", "the guest is gone")
            return
        if (server.host, server.status, server.task_state) == (
            move.destination,
            "ACTIVE",
            None,
        ):
            self._finish(record, "done", doubt or "")
            return
        now = self._clock()
        since = self._settling.setdefault(record.id, now)
        if server.status == "ERROR" or now - since >= self._patience.settle_seconds:
            self._finish(
                record,
                "failed",
                f"{doubt or 'Nova completed the migration'}, but the guest is "
                f"{server.status} on host {server.host} (task: {server.task_state})",
            )

    def _failed(self, record: MoveRecord, migration: Migration, abort: bool) -> None:
        server = self._nova.server(record.move.guest)
        try:
            reason = self._nova.reason(record.move.guest) or "Nova gives no reason"
        except NovaUnavailableError as error:
            reason = f"its reason cannot be read ({error})"
        detail = f"migration {migration.id} ended as {migration.status}: {reason}"
        if server is not None and server.status != "ACTIVE":
            detail += f"; the guest is {server.status} on host {server.host}"
        # An aborted migration ends as `error` since Nova 2026.1, and its guest, which
        # runs on where it was, goes to ERROR (Nova's commit 20a9f9d7).
        cancelled = abort or migration.status == "cancelled"
        state = "cancelled" if cancelled else "failed"
        self._finish(record, state, detail)

    def _abort(self, record: MoveRecord, migration: Migration) -> None:
        try:
            self._nova.abort(migration)
        except migrations.RefusedError as error:
            LOG.info("Move of guest %s: not aborted yet: %s", record.move.guest, error)
        else:
            self._aborted.add(record.id)
            LOG.info("Move of guest %s: abort requested", record.move.guest)

    def _finish(
        self, record: MoveRecord, state: str, detail: str, expected: str | None = None
    ) -> None:
        with self._database.writer() as session:
            moves.finish(
                session,
                record.id,
                holder=self._holder,
                expected=(expected or record.state,),
                state=state,
                detail=detail,
                now=self._clock(),
            )
        self._settling.pop(record.id, None)
        self._aborted.discard(record.id)
        log = LOG.info if state in ("done", "cancelled") else LOG.warning
        log(
            "Move of guest %s from host %s to host %s: %s%s",
            record.move.guest,
            record.move.source,
            record.move.destination,
            state,
            f" ({detail})" if detail else "",
        )
