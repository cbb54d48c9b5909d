# SPDX-License-Identifier: Apache-2.0
"""Progress of long work, on standard error and only if that is a terminal."""

import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")

_ERASE_LINE = "\r\x1b[K"


def shown(items: Sequence[_Item], doing: str) -> Iterator[_Item]:
    """Yield items one by one, telling a watching user how many are done.

    :param doing: what happens to each, such as ``reading files``
    """
    if not sys.stderr.isatty():
        yield from items
        return
    try:
        for number, item in enumerate(items, start=1):
            sys.stderr.write(f"{_ERASE_LINE}{doing}: {number} of {len(items)}")
            sys.stderr.flush()
            yield item
    finally:
        sys.stderr.write(_ERASE_LINE)
        sys.stderr.flush()
