# SPDX-License-Identifier: Apache-2.0
"""The hard rules: each can stop a move, and says why in one sentence.

A rule's name is what an operator reads in a plan and in an explanation. Rules
of a guest and of a pair of guest and host are facts of the snapshot; rules of
the situation depend on the moves made before and in the same wave. No rule
weighs: a move that passes them all is allowed, not recommended.
"""

import dataclasses
from typing import Self

from membuddies_nova.planner.rules.aggregate import (
    AggregateExtraSpecs,
    AggregateTenants,
)
from membuddies_nova.planner.rules.capacity import (
    AvailableMemory,
    Headroom,
    MovesPerHost,
    PlacementDisk,
    PlacementMemory,
    PlacementVcpu,
)
from membuddies_nova.planner.rules.device import (
    EncryptedMemory,
    HugePages,
    PciDevices,
    PinnedCpus,
    PinnedMemory,
)
from membuddies_nova.planner.rules.guest import (
    Busy,
    Locked,
    Migrating,
    NotActive,
    OptedOut,
    SourceDown,
)
from membuddies_nova.planner.rules.hint import (
    DifferentHost,
    SameHost,
    UnknownHint,
)
from membuddies_nova.planner.rules.history import (
    ChangesTooFast,
    Cooldown,
    Cycle,
    LastMoveRefused,
)
from membuddies_nova.planner.rules.pair import (
    Cell,
    Cpu,
    HostDisabled,
    HostDown,
    Hypervisor,
    Isolation,
    Ksm,
    PinnedZone,
)
from membuddies_nova.planner.rules.rule import Rule
from membuddies_nova.planner.rules.server_group import (
    Affinity,
    AntiAffinity,
    SoftAffinity,
    SoftAntiAffinity,
)
from membuddies_nova.planner.rules.trust_scope import TrustScopes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RuleBook:
    """The rules of a plan, by what they depend on.

    :ivar guest: on the guest alone, whatever the destination; a guest that is
        placed for the first time is not asked
    :ivar pair: on guest and destination
    :ivar situation: on other moves, too
    """

    guest: tuple[Rule, ...]
    pair: tuple[Rule, ...]
    situation: tuple[Rule, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(rule.name for rule in (*self.guest, *self.pair, *self.situation))

    @property
    def without_guest_rules(self) -> tuple[str, ...]:
        """The names of the rules for a guest that is placed first."""
        return tuple(rule.name for rule in (*self.pair, *self.situation))

    def without(self, name: str) -> Self:
        """The same book with one rule struck out."""
        return dataclasses.replace(
            self,
            **{
                part: tuple(rule for rule in getattr(self, part) if rule.name != name)
                for part in ("guest", "pair", "situation")
            },
        )


RULES = RuleBook(
    guest=(
        OptedOut(),
        Locked(),
        NotActive(),
        Busy(),
        Migrating(),
        Cooldown(),
        LastMoveRefused(),
        ChangesTooFast(),
        PinnedCpus(),
        PinnedMemory(),
        HugePages(),
        PciDevices(),
        EncryptedMemory(),
        UnknownHint(),
        SourceDown(),
    ),
    pair=(
        HostDisabled(),
        HostDown(),
        Ksm(),
        Isolation(),
        Cell(),
        PinnedZone(),
        AggregateExtraSpecs(),
        AggregateTenants(),
        Hypervisor(),
        Cpu(),
        Cycle(),
    ),
    situation=(
        MovesPerHost(),
        PlacementMemory(),
        PlacementVcpu(),
        PlacementDisk(),
        Affinity(),
        AntiAffinity(),
        SoftAffinity(),
        SoftAntiAffinity(),
        DifferentHost(),
        SameHost(),
        TrustScopes(),
        AvailableMemory(),
        Headroom(),
    ),
)
