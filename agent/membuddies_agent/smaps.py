# SPDX-License-Identifier: Apache-2.0
"""The mappings of a process, and which of them KSM may merge.

The kernel's own flags decide: a mapping takes part if ``VmFlags`` in
/proc/PID/smaps has ``mg``, which QEMU asks for with MADV_MERGEABLE. See
Documentation/filesystems/proc.rst. Nothing here reads memory.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from membuddies_nova.facts import Reason

_MERGEABLE = "mg"
_HUGE = "ht"
_SHARED = "sh"
_DEVICE = {"io", "pf"}


@dataclasses.dataclass(frozen=True, slots=True)
class Mapping:
    """A range of a process's address space.

    :ivar start: first byte's address
    :ivar end: address behind the last byte
    :ivar flags: the two-letter words of VmFlags
    """

    start: int
    end: int
    flags: frozenset[str]

    @property
    def size_bytes(self) -> int:
        return self.end - self.start

    @property
    def mergeable(self) -> bool:
        return _MERGEABLE in self.flags


def parse(text: str) -> list[Mapping]:
    """Read the text of an smaps file.

    :raises ValueError: if it is not one
    """
    mappings = []
    start = end = 0
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "VmFlags:":
            mappings.append(Mapping(start, end, frozenset(rest.split())))
        elif not word.endswith(":"):
            low, _, high = word.partition("-")
            start, end = int(low, 16), int(high, 16)
    return mappings


def mergeable(mappings: Iterable[Mapping]) -> list[Mapping]:
    """The mappings that KSM may merge, in order of their addresses."""
    return [mapping for mapping in mappings if mapping.mergeable]


def reason_against(mappings: Sequence[Mapping]) -> Reason | None:
    """Why a guest's memory does not merge, None if it does.

    QEMU's small mappings (firmware, video memory) stay mergeable even where
    the guest's memory is huge pages or shared, so the largest decides: a huge
    or shared mapping of more bytes than all mergeable ones together.
    """
    merging_bytes = sum(mapping.size_bytes for mapping in mergeable(mappings))
    for mapping in sorted(mappings, key=lambda each: each.size_bytes, reverse=True):
        if mapping.size_bytes <= merging_bytes:
            break
        if _HUGE in mapping.flags:
            return Reason.HUGE_PAGES
        if _SHARED in mapping.flags and not mapping.flags & _DEVICE:
            return Reason.SHARED_MEMORY
    return None if merging_bytes else Reason.NOT_MERGEABLE
