# SPDX-License-Identifier: Apache-2.0
"""The story: an unlucky mix, a lucky newcomer, three moves, and the kernel's word.

Uses the cloud as tenants and operators do.  What it leaves behind is the cloud, with
everything running.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from tests.cloud.lab.buddies import SCAN_SECONDS, Buddies
from tests.cloud.lab.cloud import Cloud
from tests.cloud.lab.frames import FrameCount

from . import placing, rebalancing, tables
from .cast import MIX, NEWCOMER, TENANT
from .placing import Placement
from .rebalancing import QUIET_PERIOD_SECONDS, Migrations
from .teller import Teller
from .verdict import Verdict

_WHILE_BOOTING_MS = 200
_WHILE_WATCHED_MS = 20
_CONVERGENCE_SECONDS = 600


@dataclass
class Story:
    """One telling on one cloud, which is not up yet.

    Every chapter goes on where the one before ended.
    """

    cloud: Cloud
    teller: Teller
    buddies: Buddies = field(init=False)
    _booted: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        watching = {"rebalancer": {"period_seconds": QUIET_PERIOD_SECONDS}}
        self.buddies = Buddies(self.cloud, watching)

    def tell(self) -> Verdict:
        """Tells it all.

        :raises LabError: what could not be done
        """
        self._bring_up()
        with self.cloud.inside():
            self._install()
            self._boot_the_mix()
            self._show_what_is_shared()
            placement = self._place_a_newcomer()
            return self._rebalance(placement)

    # Chapters ----------------------------------------------------------------

    def _bring_up(self) -> None:
        self.teller.chapter("A real OpenStack with three compute hosts")
        self.cloud.up(lambda line: self.teller.say(line.split("s  ", 1)[-1]))

    def _install(self) -> None:
        self.teller.chapter("Memory Buddies on it")
        self.teller.say("switching KSM on (waits while a test on this machine uses it)")
        self.cloud.ksm.begin(sleep_millisecs=_WHILE_BOOTING_MS)
        self.buddies.up(mode="observe")
        self.teller.say(
            "an agent on each host, the controller, the rebalancer (mode observe), "
            "and our weigher in nova.conf"
        )

    def _boot_the_mix(self) -> None:
        self.teller.chapter("a. Guests in an unlucky mix")
        guests = self.cloud.guests(TENANT)
        booted = []
        for part in MIX:
            booted.append(part.start(guests))
            self._booted.add(part.name)
            self.teller.say(f"{part.name} ({part.role}) on {part.host}")
        guests.wait_until_ready(booted)
        self.teller.say("all guests have filled their memory with their role's files")

    def _show_what_is_shared(self) -> None:
        self.teller.chapter("b. What they share")
        self._converge()
        self._show_tables()
        self.teller.say(
            "unique: what a host needs after perfect merging, by fingerprints; frames: "
            "what it uses, by the kernel"
        )

    def _place_a_newcomer(self) -> Placement:
        self.teller.chapter("c. A new guest, and nova-scheduler chooses")
        self.teller.say(
            f"booting {NEWCOMER.name} without naming a host; Nova's log of its weights:"
        )
        guest, aware = placing.place(self.cloud)
        self._booted.add(guest.name)
        self.teller.show(tables.weights(aware))
        self.teller.say(
            "the same request with aggregate metadata sharing_weight_multiplier=0, "
            "nothing restarted:"
        )
        unaware = placing.place_unaware(self.cloud)
        self.teller.show(tables.weights(unaware))
        self._converge()
        shared = self.cloud.shared_with_hosts(guest.id)
        placement = Placement(aware, unaware, shared)
        self.teller.say(f"what the kernel has merged of {NEWCOMER.name} with whom:")
        self.teller.show(tables.shared_frames(placement))
        return placement

    def _rebalance(self, placement: Placement) -> Verdict:
        self.teller.chapter("d. The rebalancer")
        before = self.cloud.frames()
        self.teller.say("an operator sets mode = recommend and reloads it (SIGHUP)")
        plan = rebalancing.propose(self.buddies)
        predicted_saved_mb = float(plan["saved_mb_global"])
        self.teller.say(f"it proposes {len(plan['moves'])} live migrations:")
        self.teller.show(tables.moves(plan))
        self.teller.say(f"membuddies plan approve {plan['id']}")
        ended = rebalancing.run(self.buddies, plan["id"], self._say_move)
        self.teller.say(f"the plan is {ended['state']}")
        self._converge()
        after = self._show_tables()
        migrations = Migrations.count(self.buddies)
        return Verdict(
            before_mb={host: count.mb for host, count in before.items()},
            after_mb={host: count.mb for host, count in after.items()},
            predicted_saved_mb=predicted_saved_mb,
            migrations=migrations.completed,
            failed_migrations=migrations.failed,
            plan_state=ended["state"],
            placement_right=placement.is_right,
            seconds=self.teller.seconds,
        )

    # What chapters have in common ----------------------------------------------

    def _converge(self) -> None:
        """Waits for the kernel to merge, then for fingerprints of what is there.

        What is shared counts from the second scan on that has found it.
        """
        quiet_since = time.time()
        self.cloud.ksm.begin(sleep_millisecs=_WHILE_WATCHED_MS)
        seconds = self.cloud.ksm.wait_until_converged(_CONVERGENCE_SECONDS)
        self.cloud.ksm.begin(sleep_millisecs=_WHILE_BOOTING_MS)
        self.teller.say(f"KSM has merged all it can ({seconds:.0f} s)")
        self.buddies.wait(
            lambda: self._all_known(quiet_since + 1.5 * SCAN_SECONDS),
            "a guest has no new fingerprint",
        )
        self.teller.say("all guests have a fresh fingerprint in the database")

    def _all_known(self, since: float) -> bool:
        """Whether each guest's memory was read after a moment."""
        now = time.time()
        ages = {row["name"]: row["scan_age_seconds"] for row in self._guest_list()}
        return ages.keys() == self._booted and all(
            age is not None and now - age > since for age in ages.values()
        )

    def _guest_list(self) -> list[dict[str, Any]]:
        return list(self.buddies.json("guest", "list"))

    def _show_tables(self) -> dict[str, FrameCount]:
        """Shows hosts and guests, and returns what the kernel uses by host."""
        frames = self.cloud.frames()
        self.teller.show(tables.hosts(self.buddies.json("host", "list"), frames))
        self.teller.show(tables.guests(self._guest_list()))
        return frames

    def _say_move(self, move: dict[str, Any]) -> None:
        text = f"{move['guest_name']}: {move['from']} -> {move['to']} {move['state']}"
        self.teller.say(f"{text} {move['detail']}".rstrip())
