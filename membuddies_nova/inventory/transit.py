# SPDX-License-Identifier: Apache-2.0
"""The two hosts of each guest that is between two, by Nova's migration records.

Placement counts such a guest on both: on the destination from before it arrives, and
on the source of a resize until that is confirmed. Nova's list of servers tells one of
them, so the newest records of these few guests are read. They are read at best:
without them a guest counts on its own host alone until it has arrived.
"""

from collections.abc import Iterable

from oslo_log import log as logging

from membuddies_nova.inventory.cloud import Cloud, InventoryError, Json
from membuddies_nova.inventory.guests import is_in_transit
from membuddies_nova.inventory.shortcoming import Shortcoming

LOG = logging.getLogger(__name__)

# As nova.db.main.api.migration_get_in_progress_by_host_and_node has it. A resize that
# is not confirmed yet is "finished", and is not among them.
_ENDED = frozenset(
    {"cancelled", "completed", "confirmed", "done", "error", "failed", "reverted"}
)
_NEWEST = 10


class Transit:
    """Reads where guests are between. For one thread."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._hidden = Shortcoming(LOG)

    def read(self, servers: Iterable[Json]) -> dict[str, frozenset[str]]:
        """Source and destination, as far as Nova has chosen one, by guest."""
        found: dict[str, frozenset[str]] = {}
        try:
            for server in servers:
                if is_in_transit(server):
                    found[server["id"]] = self._ends(server["id"])
        except InventoryError as error:
            self._hidden.tell(
                "Guests between two hosts count on one of them only: %s", error=error
            )
            return found
        self._hidden.end()
        return found

    def _ends(self, uuid: str) -> frozenset[str]:
        """Nothing if no record holds two hosts any more."""
        records = self._cloud.get(
            "compute", "/os-migrations", {"instance_uuid": uuid, "limit": _NEWEST}
        )["migrations"]
        for record in records:
            if record["status"] not in _ENDED:
                if record["source_compute"] is None:
                    raise InventoryError(
                        "Nova: hides the hosts of migrations from the reader's "
                        "credential; give it the role admin, or allow "
                        "os_compute_api:os-migrations:index:host in Nova's policy"
                    )
                ends = (record["source_compute"], record["dest_compute"])
                return frozenset(filter(None, ends))
        return frozenset()
