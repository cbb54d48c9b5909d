# SPDX-License-Identifier: Apache-2.0
"""How the demo speaks: short lines, each with the seconds since it began."""

import textwrap
import time


class Teller:
    """Prints the story on standard output; remembers when it began."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._after_block = False

    @property
    def seconds(self) -> float:
        """Since the demo began."""
        return time.monotonic() - self._begun

    def chapter(self, title: str) -> None:
        """Begins a part of the story."""
        self._print(f"\n{title}\n{'-' * len(title)}")

    def say(self, sentence: str) -> None:
        """One line of progress."""
        gap = "\n" if self._after_block else ""
        self._print(f"{gap}{self.seconds:5.0f} s  {sentence}")

    def show(self, text: str) -> None:
        """A table or another block of text."""
        self._print(f"\n{textwrap.indent(text, '    ')}")
        self._after_block = True

    def _print(self, text: str) -> None:
        print(text, flush=True)
        self._after_block = False
