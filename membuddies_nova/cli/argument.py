# SPDX-License-Identifier: Apache-2.0
"""Numbers on the command line that are refused outside of their range."""

import argparse
import math
from collections.abc import Callable


def whole_number(minimum: int, maximum: int) -> Callable[[str], int]:
    """A type for argparse: a decimal integer from minimum to maximum."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if not minimum <= value <= maximum:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number from {minimum} to {maximum}"
            )
        return value

    return parse


def positive_number(text: str) -> float:
    """A type for argparse: a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def fraction(text: str) -> float:
    """A type for argparse: a number above 0 and below 1."""
    value = positive_number(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1")
    return value


SHIFT = whole_number(0, 63)
ZERO_ID = whole_number(0, 2**64 - 1)
