# SPDX-License-Identifier: Apache-2.0
"""The sizes that hosts and guests are shown with, in pages and in MB.

Always apart: zero pages, self-sharing, and sharing between guests; the last as
the kernel counts, which knows no tenants, and within a project, as decisions
count by default.
"""

from typing import Any

from membuddies_nova.cli.column import mb
from membuddies_nova.cluster import Scope
from membuddies_nova.model.sharing import SharingModel
from membuddies_nova.model.snapshot import ClusterSnapshot

_NAMES = ("unique", "zero", "self_shared", "inter_shared", "in_project")
MB_COLUMNS = tuple(f"{name}_mb" for name in _NAMES)
PAGES_COLUMNS = tuple(f"{name}_pages" for name in _NAMES)


class Sizes:
    """The sizes of the guests on one host.

    :param snapshot: whose guests are those on the host
    """

    def __init__(self, snapshot: ClusterSnapshot) -> None:
        self._samples = snapshot.samples
        self._uuids = [guest.uuid for guest in snapshot.guests]
        self._model = SharingModel(snapshot, Scope.GLOBAL, across_keys=True)
        self._in_project = SharingModel(snapshot, Scope.PROJECT, across_keys=True)

    def of_host(self) -> dict[str, Any]:
        """What the guests hold together; ``unique`` is after perfect merging."""
        parts = self._model.breakdown(self._uuids)
        return _columns(
            self._model.host_pages(self._uuids).pages,
            parts.zero_pages,
            parts.self_shared_pages,
            parts.inter_shared.pages,
            self._in_project.saved_pages(self._uuids).pages,
        )

    def of_guest(self, guest: str) -> dict[str, Any]:
        """What one guest holds, and shares with the others; nothing if unknown."""
        sample = self._samples.get(guest)
        if sample is None:
            return {}
        return _columns(
            sample.counters.unique_pages,
            sample.counters.zero_pages,
            sample.counters.self_shared_pages,
            self._model.gain(guest, self._uuids).pages,
            self._in_project.gain(guest, self._uuids).pages,
        ) | {"resident_pages": sample.counters.resident_pages}


def _columns(*pages: float) -> dict[str, Any]:
    in_pages = dict(zip(PAGES_COLUMNS, map(round, pages), strict=True))
    return in_pages | dict(zip(MB_COLUMNS, map(mb, pages), strict=True))
