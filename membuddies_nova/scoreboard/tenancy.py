# SPDX-License-Identifier: Apache-2.0
"""Who may share merged pages with whom, and who is where.

For whoever keeps guests of different trust keys
(:func:`membuddies_nova.cluster.trust_key`) apart. Made once a board, so that a
request that looks at a thousand hosts needs a look-up for each.
"""

import collections
from collections.abc import Callable, Mapping, Sequence, Set

from membuddies_nova.cluster import trust_key

_NOBODY: frozenset[str] = frozenset()
_NO_KEYS: frozenset[str | None] = frozenset()

Told = Callable[[str], str | None]
"""The trust key of a guest that the board does not know, None if nobody told."""


class Tenancy:
    """Guests by trust key and by host.

    :param index: where each guest stands in the sequences, by uuid
    :param hosts: where Nova placed it, None if nowhere
    :param projects: None where it is not known, which leaves the key unknown, too
    :param groups: trust groups, None for none
    """

    def __init__(
        self,
        index: Mapping[str, int],
        hosts: Sequence[str | None],
        projects: Sequence[str | None],
        groups: Sequence[str | None],
    ) -> None:
        keys = [
            None if project is group is None else trust_key(project, group)
            for project, group in zip(projects, groups, strict=True)
        ]
        kin: dict[str | None, set[str]] = collections.defaultdict(set)
        present: dict[str | None, set[str]] = collections.defaultdict(set)
        keys_on: dict[str | None, set[str | None]] = collections.defaultdict(set)
        for uuid, at in index.items():
            kin[keys[at]].add(uuid)
            present[hosts[at]].add(uuid)
            keys_on[hosts[at]].add(keys[at])
        self._key_of = {uuid: keys[at] for uuid, at in index.items()}
        self._kin = {key: frozenset(uuids) for key, uuids in kin.items()}
        self._present = {host: frozenset(uuids) for host, uuids in present.items()}
        self._keys_on = {host: frozenset(found) for host, found in keys_on.items()}
        self._places: dict[str, tuple[str, ...]] = {}

    def key_of(self, uuid: str) -> str | None:
        """A guest's trust key, None if it is not known."""
        return self._key_of.get(uuid)

    def kin(self, key: str) -> frozenset[str]:
        """Uuids of all guests of a trust key."""
        return self._kin.get(key, _NOBODY)

    def present(self, host: str) -> frozenset[str]:
        """Uuids of the guests that Nova placed on a host."""
        return self._present.get(host, _NOBODY)

    def places(self, host: str, instances: tuple[str, ...]) -> bool:
        """Whether all guests that Nova counts on a host are placed there.

        A scheduler asks this of every host for each request, nearly always about the
        very same strings as before: that they are the same is seen ten times as
        quickly as each is looked up.

        :param instances: their uuids
        """
        if self._places.get(host) == instances:
            return True
        if not self.present(host).issuperset(instances):
            return False
        self._places[host] = instances
        return True

    def keys_on(self, host: str) -> frozenset[str | None]:
        """Trust keys of the guests on a host; None among them: one is not known."""
        return self._keys_on.get(host, _NO_KEYS)


class Isolation:
    """One guest, and whom it must not meet.

    :param uuid: its own, which is no stranger to itself
    :param key: its trust key
    :param trust_group: that its flavor names
    :param unknown_is_foreign: what a guest is of which nobody knows the key
    """

    def __init__(
        self,
        tenancy: Tenancy,
        *,
        uuid: str,
        key: str,
        trust_group: str | None = None,
        unknown_is_foreign: bool,
    ) -> None:
        self._tenancy = tenancy
        self._uuid = uuid
        self._key = key
        self._may_use = (None, trust_group)
        self._unknown_is_foreign = unknown_is_foreign
        self._kin = tenancy.kin(key)
        self._own: frozenset[str | None] = frozenset((key,))
        self._own_or_unknown: frozenset[str | None] = frozenset((key, None))

    def may_use(self, reserved_for: str | None) -> bool:
        """Whether a host takes the guest whose aggregates name a trust group."""
        return reserved_for in self._may_use

    def holds_only_kin(self, host: str, instances: tuple[str, ...]) -> bool:
        """Whether all guests of a host are known to be of the guest's trust key.

        Asks nobody: most hosts that pass are found so.

        :param instances: uuids of the guests that Nova counts there
        """
        tenancy = self._tenancy
        return tenancy.keys_on(host) <= self._own and tenancy.places(host, instances)

    def is_among_kin(self, host: str, instances: Set[str], told: Told) -> bool:
        """Whether a host holds no guest of another trust key.

        Both Nova's list and the board's count: either may be the older one.

        :param instances: uuids of the guests that Nova counts there
        :param told: asked for guests that the tenancy does not know
        """
        keys, present = self._tenancy.keys_on(host), self._tenancy.present(host)
        if keys <= self._own:
            if instances <= self._kin:
                return True
        elif not keys <= self._own_or_unknown and self._uuid not in present:
            return False
        strangers = (instances | present) - self._kin
        strangers -= {self._uuid}
        return not any(self._is_foreign(uuid, told) for uuid in strangers)

    def _is_foreign(self, uuid: str, told: Told) -> bool:
        key = self._tenancy.key_of(uuid) or told(uuid)
        return self._unknown_is_foreign if key is None else key != self._key
