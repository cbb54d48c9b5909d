# SPDX-License-Identifier: Apache-2.0
"""Steps that run as early as the steps before them allow."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """Work that may start when the steps named in ``after`` are done."""

    name: str
    work: Callable[[], object]
    after: tuple[str, ...] = ()


def run(
    steps: Sequence[Step],
    tell: Callable[[str], None],
    abort: Callable[[], None],
) -> None:
    """Runs all steps; tells one line for each, with its seconds.

    At the first failure, or Ctrl-C, no further step starts, ``abort`` ends what the
    running ones wait for, and the failure is raised when they have ended, too.
    """
    begun = time.monotonic()
    waiting = list(steps)
    running: dict[Future[float], Step] = {}
    done: set[str] = set()
    pool = ThreadPoolExecutor(max_workers=len(steps))
    try:
        while waiting or running:
            ready = [step for step in waiting if done.issuperset(step.after)]
            for step in ready:
                waiting.remove(step)
                running[pool.submit(_timed, step.work)] = step
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                step = running.pop(future)
                seconds = future.result()
                done.add(step.name)
                at = time.monotonic() - begun
                tell(f"{at:6.1f} s  {step.name} ({seconds:.1f} s)")
    except BaseException:
        abort()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _timed(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun
