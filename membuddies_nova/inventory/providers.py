# SPDX-License-Identifier: Apache-2.0
"""Placement's word on compute nodes, which are resource providers there.

Their inventories are read each time. Their traits, which hardly ever change, only
when their generation has, for Placement raises it with every change of either. They
are read at best: without them it is not known which processors a guest may move to,
and Nova refuses what would not run.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from oslo_log import log as logging

from membuddies_nova.inventory.cloud import (
    Cloud,
    InventoryError,
    Json,
    NotFoundError,
)
from membuddies_nova.inventory.shortcoming import Shortcoming

LOG = logging.getLogger(__name__)

_CPU = "HW_CPU_"
# How a host runs its processors, not what a guest may find there.
_OF_THE_HOST = frozenset(
    {"HW_CPU_HYPERTHREADING", "HW_CPU_X86_AMD_SEV", "HW_CPU_X86_AMD_SEV_ES"}
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One compute node.

    :ivar inventories: by resource class; none if Placement does not know the node
    :ivar cpu_traits: features of its processors, None if they could not be read
    """

    inventories: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    cpu_traits: tuple[str, ...] | None = None


class Providers:
    """Reads compute nodes. For one thread."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._traits: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._hidden = Shortcoming(LOG)

    def read(self, nodes: Iterable[str]) -> dict[str, Provider]:
        """What Placement says of each node now, by id.

        :raises InventoryError: if an inventory could not be read
        """
        answers = {node: self._inventories(node) for node in nodes}
        self._read_traits(
            {
                node: answer["resource_provider_generation"]
                for node, answer in answers.items()
                if answer is not None
            }
        )
        return {
            node: Provider()
            if answer is None
            else Provider(
                inventories=answer["inventories"],
                cpu_traits=self._traits[node][1] if node in self._traits else None,
            )
            for node, answer in answers.items()
        }

    def _inventories(self, node: str) -> Json | None:
        """Placement's answer, None if it does not know the node."""
        try:
            return self._cloud.get(
                "placement", f"/resource_providers/{node}/inventories"
            )
        except NotFoundError:
            return None

    def _read_traits(self, generations: Mapping[str, int]) -> None:
        """Learn the traits of nodes that have changed; keep them where that fails."""
        self._traits = {
            node: known for node, known in self._traits.items() if node in generations
        }
        for node, generation in generations.items():
            if node in self._traits and self._traits[node][0] == generation:
                continue
            try:
                answer = self._cloud.get(
                    "placement", f"/resource_providers/{node}/traits"
                )
            except InventoryError as error:
                self._hidden.tell(
                    "Which processors guests may move to is not known anew: %s",
                    error=error,
                )
                return
            traits = {name for name in answer["traits"] if name.startswith(_CPU)}
            self._traits[node] = (
                answer["resource_provider_generation"],
                tuple(sorted(traits - _OF_THE_HOST)),
            )
        self._hidden.end()
