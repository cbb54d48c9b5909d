# SPDX-License-Identifier: Apache-2.0
"""What scanning may take: a share of one core, and bytes a second.

For the scanner, whose thread it slows down. What is not used is not saved up:
after a quiet hour no scan runs faster than in a busy one.
"""

import time
from collections.abc import Callable


class Budget:
    """Makes one thread wait until what it has done is within its means.

    :ivar core_share: of one core's time, above 0, at most 1
    :ivar bytes_per_second: of guest memory to read
    :param wait: waits for so many seconds, or less if there is no more need to
    :param clock: monotonic seconds
    :param worked: processor seconds of the calling thread
    """

    def __init__(
        self,
        core_share: float,
        bytes_per_second: float,
        wait: Callable[[float], object],
        clock: Callable[[], float] = time.monotonic,
        worked: Callable[[], float] = time.thread_time,
    ) -> None:
        self.core_share = core_share
        self.bytes_per_second = bytes_per_second
        self._wait = wait
        self._clock = clock
        self._worked = worked
        self._paid = (0.0, 0.0)

    def begin(self) -> None:
        """Count from here on what the calling thread does."""
        self._paid = (self._clock(), self._worked())

    def pay(self, read_bytes: int) -> None:
        """Wait for what was done since ``begin`` or the last payment.

        :param read_bytes: of guest memory, in that time
        """
        clock, worked = self._paid
        cost_seconds = max(
            (self._worked() - worked) / self.core_share,
            read_bytes / self.bytes_per_second,
        )
        owed_seconds = cost_seconds - (self._clock() - clock)
        if owed_seconds > 0:
            self._wait(owed_seconds)
        self.begin()
