#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does a guest find in its memory what its host finds there?

Asked: of the items that the host path and the guest path find in the pages in use
of one quiet guest, at least 95 % equal: those that both have, as a part of those
that either has. The guest is real: Debian's 6.12 kernel, the real guest agent, our
module and tracer, 512 MB of which 256 are random data. It clears what it frees
(init_on_free=1), so that of its free pages the host finds only zeros, which are no
items. Also told: how much the guest grows on the host while it traces itself.

    python -m tests.benchmarks.guest_path

Needs root, KSM for itself (it waits for the lock that the tests hold, too), and what
`make guest-packages` installs.
"""

import contextlib
import pathlib
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

import numpy as np

from membuddies_agent import trace
from membuddies_agent.guest_agent import GuestAgent
from membuddies_agent.libvirt_guest_agent import guest_agent_of
from membuddies_agent.scan import scan
from membuddies_nova.fingerprint.sample import Sample
from tests.benchmarks.figure import Figure
from tests.functional.agent import ksm, libvirt_daemon
from tests.kmod import guest as guests
from tests.kmod import image

MEMORY_MB = 512
CONTENT_MB = 256
ROUNDS = 7
UUID = "6f0c2f3e-0000-4000-8000-00000000f001"
_SETTLE_SECONDS = 20
_LOOK_SECONDS = 0.05


@contextlib.contextmanager
def quiet_guest() -> Iterator[guests.Guest]:
    """A guest that does nothing."""
    kernel = image.kernels()["6.12"]
    package = image.package()
    with tempfile.TemporaryDirectory(prefix="mb-bench-") as work:
        directory = pathlib.Path(work)
        initrd = directory / "initrd"
        image.write(kernel, initrd, image.unpack(package, directory / "package"))
        with libvirt_daemon.daemon(directory) as daemon:
            words = "init_on_free=1"
            guest = guests.boot(daemon, UUID, kernel.image, initrd, words, MEMORY_MB)
            guest.await_boot()
            guest.output(f"dd if=/dev/urandom of=/content bs=1M count={CONTENT_MB}")
            time.sleep(_SETTLE_SECONDS)
            yield guest


def own_sample(guest: guests.Guest) -> Sample:
    with guest_agent_of(guest.write_uri, guest.uuid) as carry:
        return trace.trace(
            GuestAgent(carry, threading.Event()),
            seed=0,
            memory_bytes=MEMORY_MB << 20,
            timeout_seconds=120,
        )


class Resident:
    """The largest resident size of a process while the block lasts."""

    def __init__(self, pid: int) -> None:
        self._status = pathlib.Path(f"/proc/{pid}/status")
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.before_kb = self.most_kb = self.now_kb()

    def now_kb(self) -> int:
        lines = self._status.read_text().splitlines()
        (line,) = [line for line in lines if line.startswith("VmRSS:")]
        return int(line.split()[1])

    def __enter__(self) -> "Resident":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_LOOK_SECONDS):
            self.most_kb = max(self.most_kb, self.now_kb())


def main() -> int:
    equal, seconds = [], []
    # What KSM merges meanwhile would look as if the guest shrank.
    with ksm.borrowed(), quiet_guest() as guest:
        with Resident(guest.process.pid) as resident:
            own_sample(guest)
        growth_kb = resident.most_kb - resident.before_kb
        left_kb = resident.now_kb() - resident.before_kb
        for _ in range(ROUNDS):
            started = time.monotonic()
            own = own_sample(guest)
            seconds.append(time.monotonic() - started)
            host = scan(guest.process).sample(own.shift)
            both = len(np.intersect1d(own.items, host.items, assume_unique=True))
            equal.append(both / len(np.union1d(own.items, host.items)))
    return Figure(
        name="guest_path",
        what="items that the host path and the guest path both find, of all",
        how="at least",
        asked=95.0,
        measured=100 * float(np.median(equal)),
        unit="%",
        facts={
            "rounds, each in %": [round(100 * part, 2) for part in equal],
            "items of the guest path": len(own.items),
            "items of the host path": len(host.items),
            "found by both": both,
            "pages in use, as the guest tells": own.counters.resident_pages,
            "present pages, as the host sees": host.counters.resident_pages,
            "guest's resident growth during its first trace (KB)": growth_kb,
            "of that left after it (KB)": left_kb,
            "seconds of a trace (emulated processor)": round(
                float(np.median(seconds)), 2
            ),
        },
    ).publish()


if __name__ == "__main__":
    sys.exit(main())
