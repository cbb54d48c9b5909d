# SPDX-License-Identifier: Apache-2.0
"""Where the tests of the scheduler play: kin on hosts that merge, and a log.

The tenant red has two guests of one image on the third host, the tenant blue one of
the same image on the second. nova-scheduler has two workers and our weigher, as an
operator configures it, behind all of Nova's.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from membuddies_nova.bus.client import BusClient, BusUnavailable
from membuddies_nova.scoreboard import codec
from membuddies_nova.scoreboard.board import Scoreboard
from tests.cloud import bus
from tests.cloud.decisions import Decision, SchedulerLog
from tests.cloud.lab.buddies import Buddies
from tests.cloud.lab.cloud import Cloud
from tests.cloud.lab.guests import Guest, Guests, Image
from tests.cloud.lab.images import GuestImage
from tests.cloud.lab.layout import HOSTS
from tests.cloud.records import Records

WORKERS = 2
BOARD_AGE_LIMIT_SECONDS = 10
LIMIT = f"\n[membuddies]\nboard_age_limit_seconds = {BOARD_AGE_LIMIT_SECONDS}\n"
IMAGE = GuestImage("database")
EMPTY_HOST, BLUE_HOST, KIN_HOST = (place.service_host for place in HOSTS)


@dataclass(frozen=True)
class Stage:
    """The guests on a cloud, and nova-scheduler's word on what it does.

    :ivar kin: red's first guest, on ``KIN_HOST``
    :ivar mover: red's second guest, which a test that moves it brings back
    :ivar blue_kin: blue's guest, on ``BLUE_HOST``
    :ivar ksm: sets what each host's agent reads of its KSM (``run`` and the pages
        that are merged); see :mod:`tests.cloud.recorded`
    """

    cloud: Cloud
    buddies: Buddies
    log: SchedulerLog
    red: Guests
    blue: Guests
    kin: Guest
    mover: Guest
    blue_kin: Guest
    ksm: Mapping[str, Callable[[int, int], None]]

    # What the scheduler knows --------------------------------------------------

    def until_all_know(
        self, known: Callable[[Scoreboard], bool], complaint: str
    ) -> None:
        """Waits until the controller's board shows something, and each worker has
        a board that does."""
        client = BusClient(bus.options(), "test")
        showing: set[str] = set()

        def is_shown() -> bool:
            try:
                answer = client.scoreboard(None)
            except BusUnavailable:
                return False
            assert answer.body is not None
            if known(codec.decode(codec.decompress(answer.body))):
                showing.add(answer.version)
            return bool(showing)

        # What a worker takes later than we may be what it was sent before.
        def all_have_it() -> bool:
            is_shown()
            boards, workers = self.log.boards(self.log.begin), self._workers
            return len(workers) == WORKERS and all(
                boards.get(worker) in showing for worker in workers
            )

        self.buddies.wait(is_shown, complaint)
        self.buddies.wait(all_have_it, "not every worker has a board that shows it")

    def until_all_took_a_board(self, since: int) -> None:
        """Waits until each worker has taken a board since the log had this size."""
        self.buddies.wait(
            lambda: self._workers <= self.log.boards(since).keys(),
            "not every worker has taken a board",
        )

    @property
    def _workers(self) -> set[int]:
        """The workers that run, as the log numbers them."""
        master, *workers = self.cloud.service_processes("nova-scheduler")
        del master
        return {inner_pid(worker) for worker in workers}

    # Placing -------------------------------------------------------------------

    @contextlib.contextmanager
    def placing(self, guests: Guests) -> Iterator[Callable[..., tuple[str, Decision]]]:
        """Books guests without naming a host, and deletes them at the end.

        The yielded function returns where Nova placed the guest, and why.
        """
        placed: list[Guest] = []

        def place(name: str, image: Image = IMAGE) -> tuple[str, Decision]:
            guest = guests.start(name, image)
            placed.append(guest)
            guests.wait_until_active(guest)
            return guests.host(guest), self.log.decision(guest)

        try:
            yield place
        finally:
            self.delete(guests, placed)

    def delete(self, guests: Guests, placed: Sequence[Guest]) -> None:
        """Deletes guests, and waits until they draw nobody any more."""
        hosts = {guests.host(guest) for guest in placed}
        guests.delete(placed)
        gone_at = time.time()
        # Beside kin that stays they make no difference.
        if hosts - {KIN_HOST if guests is self.red else BLUE_HOST}:
            with Records.opened() as records:
                # What is being read now may still tell of them.
                self.buddies.wait(
                    lambda: records.inventory_read_at() > gone_at,
                    "the inventory is not read again",
                )
            self.until_all_know(
                lambda board: not any(board.guest(guest.id) for guest in placed),
                "the controller does not forget guests that are gone",
            )

    def wait_until(self, moment: float) -> None:
        """Waits for what is only a matter of time; seconds since the epoch."""
        self.buddies.wait(lambda: time.time() > moment, "time does not pass")


def inner_pid(pid: int) -> int:
    """A process's number as its own machine has it.

    :param pid: as outside of it
    """
    with open(f"/proc/{pid}/status") as status:
        numbers = next(line for line in status if line.startswith("NSpid:"))
    return int(numbers.split()[-1])


def assert_drawn_to(host: str, decision: Decision) -> None:
    """The kin's files are at least a tenth of the memory that was asked for."""
    others = {weight for name, weight in decision.weights.items() if name != host}
    assert 0.1 < decision.weights[host] <= 1.0
    assert others == {0.0}
