# SPDX-License-Identifier: Apache-2.0
"""The rebalancer's process: a loop, a lease and a heartbeat.

For ``membuddies-rebalancer``. One thread takes a step every ``poll_seconds``
while this process leads; another renews the lease and the heartbeat, so both
live on while a plan is computed or Nova is slow. Ending starts no further move
and aborts none: whoever leads next follows those under way.
"""

import functools
import os
import socket
import threading
import time
import uuid

from oslo_config import cfg
from oslo_log import log as logging

from membuddies_nova.cluster import Scope
from membuddies_nova.conf import rebalancer as options
from membuddies_nova.db import leases, plans, services, switches
from membuddies_nova.db.api import Database
from membuddies_nova.plan import Goal
from membuddies_nova.rebalancer import planning
from membuddies_nova.rebalancer.execution import Executor, Rules
from membuddies_nova.rebalancer.leadership import Leadership
from membuddies_nova.rebalancer.migrations import Nova
from membuddies_nova.rebalancer.moves import Mover, Patience
from membuddies_nova.rebalancer.policy import Caps, Mode, OnFailure, Window

LOG = logging.getLogger(__name__)

BINARY = "membuddies-rebalancer"
LEASE = "rebalancer"


def rules(conf: cfg.ConfigOpts) -> Rules:
    """The options as values, read anew so that a reload takes effect.

    :raises ConfigurationError: for a window that cannot be read
    """
    group = conf[options.GROUP]
    return Rules(
        mode=Mode(group.mode),
        wishes=planning.Wishes(
            Goal(group.goal),
            Scope(group.scope),
            planning.limits_of(group),
        ),
        period_seconds=group.period_seconds,
        inventory_max_age_seconds=group.inventory_max_age_seconds,
        windows=tuple(Window.parse(text) for text in group.auto_windows),
        on_failure=OnFailure(group.on_failure),
        caps=Caps(
            per_source=group.max_moves_per_source,
            per_destination=group.max_moves_per_destination,
            in_total=group.max_moves_in_total,
            per_hour=group.max_moves_per_hour,
        ),
    )


class Rebalancer:
    """The service, as oslo.service's launcher expects one.

    :raises ConfigurationError: for windows or credentials that cannot be used
    """

    def __init__(self, conf: cfg.ConfigOpts, database: Database) -> None:
        self._conf = conf
        self._database = database
        self._host = conf[options.GROUP].host or socket.gethostname()
        # Unique to the process: after a restart our own old claims are another's.
        self._holder = f"{self._host}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rebalancer")
        self._leadership = Leadership(
            self._renew, self._release, conf[options.GROUP].lease_seconds
        )
        self._executor = Executor(
            database,
            rules=functools.partial(rules, conf),
            nova=self._nova,
            mover=self._mover,
            clock=time.time,
            may_start=lambda: self._leadership.held and not self._ending.is_set(),
        )
        if rules(conf).mode is not Mode.OBSERVE:
            self._nova()

    def start(self) -> None:
        """Begin to work; returns at once."""
        LOG.info(
            "Rebalancer %s starts in mode %s", self._holder, rules(self._conf).mode
        )
        self._leadership.start()
        self._thread.start()

    def stop(self) -> None:
        """Start no further move; end within one answer of Nova's."""
        self._ending.set()

    def wait(self) -> None:
        """Return when all is written down and the lease is given up."""
        self._thread.join()
        self._leadership.stop()
        LOG.info("Rebalancer %s has ended", self._holder)

    def reset(self) -> None:
        """After a reload: say what holds from the next step on.

        :raises ConfigurationError: for what cannot be used; nothing is done then
            until it is put right
        """
        LOG.info("From now on: %s", rules(self._conf))

    def _run(self) -> None:
        while not self._ending.is_set():
            if self._leadership.held:
                try:
                    self._executor.step()
                except Exception:
                    LOG.exception("A step of the rebalancer failed; it goes on")
            self._ending.wait(self._conf[options.GROUP].poll_seconds)

    @functools.cache  # noqa: B019  lives as long as the process
    def _nova(self) -> Nova:
        return Nova.from_conf(self._conf)

    @functools.cache  # noqa: B019  lives as long as the process
    def _mover(self) -> Mover:
        group = self._conf[options.GROUP]
        return Mover(
            self._database,
            self._nova(),
            holder=self._holder,
            clock=time.time,
            check=self._executor.check,
            patience=Patience(group.record_wait_seconds, group.settle_seconds),
        )

    def _renew(self) -> bool:
        """Take or renew the lease, and tell that we live."""
        now = time.time()
        with self._database.writer() as session:
            ours = leases.acquire_or_renew(
                session,
                LEASE,
                self._holder,
                now,
                self._conf[options.GROUP].lease_seconds,
            )
            latest = plans.list_plans(session, limit=1)
            services.beat(
                session,
                BINARY,
                self._host,
                now,
                {
                    "mode": self._conf[options.GROUP].mode,
                    "leader": ours,
                    "paused": switches.paused(session) is not None,
                    "waits_for": self._executor.waits_for if ours else None,
                    "last_plan": latest[0].id if latest else None,
                    "last_plan_state": latest[0].state if latest else None,
                },
            )
        return ours

    def _release(self) -> None:
        with self._database.writer() as session:
            leases.release(session, LEASE, self._holder)
