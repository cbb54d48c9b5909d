# SPDX-License-Identifier: Apache-2.0
"""A real guest that does nothing but work, and counts what it has done.

QEMU's emulator, Debian's cloud kernel, and ``guest_work.c`` for a process 1. For
benchmarks that ask how fast a guest runs.
"""

import contextlib
import mmap
import os
import pathlib
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator

import numpy as np

from membuddies_agent import procfs
from tests.cloud.lab import images, initramfs

GUEST_MB = 512
WORK_MB = 320

WORK = pathlib.Path(__file__).with_name("guest_work.c")


class WorkingGuest:
    """A guest at work.

    :param popen: its QEMU
    :param shared: where it counts
    """

    def __init__(self, popen: subprocess.Popen, shared: mmap.mmap) -> None:
        self._popen = popen
        self.process = procfs.process(popen.pid)
        self._units = np.frombuffer(shared, np.uint64, 1)

    def mark(self) -> tuple[float, float]:
        """Now, and the work done."""
        return time.monotonic(), float(self._units[0])

    def wait_until_it_works(self) -> None:
        while not self._units[0]:
            if self._popen.poll() is not None:
                raise SystemExit("the guest ended before it worked")
            time.sleep(0.1)
        # Behind a processor that never rests, at equal priority, its main thread would
        # hear signals late, and one that holds a lock would never give it back.
        for task in pathlib.Path(f"/proc/{self._popen.pid}/task").iterdir():
            is_processor = (task / "comm").read_text().startswith("CPU ")
            os.sched_setscheduler(
                int(task.name), os.SCHED_FIFO, os.sched_param(1 if is_processor else 2)
            )

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)


@contextlib.contextmanager
def working(core: int) -> Iterator[WorkingGuest]:
    """A guest that works, on a core and before all else there."""
    with tempfile.TemporaryDirectory(prefix="membuddies-benchmark-") as name:
        folder = pathlib.Path(name)
        program = folder / "init"
        subprocess.run(
            [
                *("gcc", "-O2", "-static", f"-DMEMORY_MB={WORK_MB}UL"),
                *("-o", program, WORK),
            ],
            check=True,
        )
        ramdisk = folder / "ramdisk"
        with ramdisk.open("wb") as output:
            archive = initramfs.Archive(output)
            archive.add_console()
            archive.add_file("/init", program.read_bytes(), 0o755)
            archive.end()
        with (folder / "shared").open("w+b") as file:
            file.truncate(1 << 20)
            shared = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        popen = subprocess.Popen(
            [
                *("taskset", "--cpu-list", str(core), "qemu-system-x86_64"),
                *("-machine", "pc,accel=tcg", "-m", str(GUEST_MB), "-display", "none"),
                *("-name", "working,debug-threads=on"),
                *("-nodefaults", "-kernel", images.kernel(), "-initrd", ramdisk),
                *("-append", "quiet panic=1 no_timer_check", "-no-reboot"),
                "-object",
                f"memory-backend-file,id=m,mem-path={folder}/shared,size=1M,share=on",
                *("-device", "ivshmem-plain,memdev=m"),
            ],
            stdin=subprocess.DEVNULL,
        )
        try:
            yield WorkingGuest(popen, shared)
        finally:
            popen.kill()
            popen.wait()
