# SPDX-License-Identifier: Apache-2.0
"""Values of the one kernel that each host shall have for itself.

All hosts of the lab share one KSM and one memory pressure. Where a test needs two
hosts to differ, files are laid over those that the host's agent reads, in that
host's own mount namespace; nothing else on it is made up.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from .lab.cloud import Cloud

_KSM = Path("/sys/kernel/mm/ksm")
_PRESSURE = Path("/proc/pressure/memory")


@contextlib.contextmanager
def ksm(cloud: Cloud, key: str) -> Iterator[Callable[[int, int], None]]:
    """Shows a machine (``c1``, ``c2``, ``c3``) a KSM of its own, that merges.

    The yielded function sets its ``run`` and ``pages_shared``.
    """
    directory = cloud.layout.root / f"recorded-ksm-{key}"
    directory.mkdir(exist_ok=True)
    for file in _KSM.iterdir():
        (directory / file.name).write_text(file.read_text())

    def show(run: int, pages_shared: int) -> None:
        (directory / "run").write_text(f"{run}\n")
        for name in ("pages_shared", "pages_sharing"):
            (directory / name).write_text(f"{pages_shared}\n")

    show(1, 100)
    with _laid_over(cloud, key, directory, _KSM):
        yield show


@contextlib.contextmanager
def pressure(cloud: Cloud, key: str) -> Iterator[Callable[[float], None]]:
    """Shows a machine a memory pressure of its own, which is none.

    The yielded function sets during how many percent of a minute it waits.
    """
    file = cloud.layout.root / f"recorded-pressure-{key}"

    def show(percent: float) -> None:
        waits = f"avg10={percent:.2f} avg60={percent:.2f} avg300={percent:.2f} total=1"
        file.write_text(f"some {waits}\nfull {waits}\n")

    show(0)
    with _laid_over(cloud, key, file, _PRESSURE):
        yield show


@contextlib.contextmanager
def _laid_over(cloud: Cloud, key: str, source: Path, target: Path) -> Iterator[None]:
    cloud.run(["mount", "--bind", str(source), str(target)], where=key)
    try:
        yield
    finally:
        cloud.run(["umount", str(target)], where=key, check=False)
