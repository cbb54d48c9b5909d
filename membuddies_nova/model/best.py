# SPDX-License-Identifier: Apache-2.0
"""The best few hosts of each guest, kept while what it shares there changes.

Of two hosts that are equally good the first in the cluster's order counts as the
better one, so that there is one answer, whatever changed before.
"""

import numpy as np

from membuddies_nova.model.index import Numbers

BEST_HOSTS = 8
"""Hosts that are told for each guest with a fingerprint of its own."""

_KEPT = 2 * BEST_HOSTS
"""Hosts that are kept: one that falls out of the best has its successor among them."""
_NONE = -1
_ITEM_BITS = 32
_LAST = 2**63 - 1


class BestHosts:
    """For each guest the hosts where it shares most; none where it shares nothing.

    A host and the items shared there are one number, which sorts as they do. Beside
    the hosts that are kept the most is known that any other can be; each that is kept
    is above it.

    :param hosts: how many there are in the cluster
    """

    def __init__(self, guests: int, hosts: int) -> None:
        self._hosts = max(hosts, 1)
        self._keys = np.full((guests, _KEPT), _NONE, np.int64)
        self._others = np.full(guests, _NONE, np.int64)

    def grow(self, guests: int) -> None:
        """Make room for so many guests."""
        more = guests - len(self._keys)
        self._keys = np.concatenate(
            (self._keys, np.full((more, _KEPT), _NONE, np.int64))
        )
        self._others = np.concatenate((self._others, np.full(more, _NONE, np.int64)))

    def choose(self, guests: Numbers, hosts: Numbers, items: Numbers) -> None:
        """Choose anew.

        :param guests: their numbers
        :param hosts: numbers of all hosts that are possible
        :param items: shared there; guests x hosts
        """
        keys = self._key(items, hosts)
        self._others[guests] = _NONE
        if keys.shape[1] > _KEPT:
            keys = np.partition(keys, (-_KEPT - 1, -_KEPT))
            self._others[guests] = keys[:, -_KEPT - 1]
            keys = keys[:, -_KEPT:]
        self._keys[guests] = _NONE
        self._keys[guests, : keys.shape[1]] = keys

    def change(self, guests: Numbers, host: int, old: Numbers, new: Numbers) -> Numbers:
        """Take note that guests share more or less on a host.

        :param old: items shared there before, by guest
        :returns: the guests for which this does not tell their best hosts, because
            any other may be better now: choose theirs anew
        """
        keys, others = self._keys[guests], self._others[guests]
        before, after = self._key(old, host), self._key(new, host)
        rows = np.arange(len(guests))
        among = (keys == before[:, np.newaxis]) & (before != _NONE)[:, np.newaxis]
        was_kept = among.any(axis=1)
        at = np.where(was_kept, among.argmax(axis=1), keys.argmin(axis=1))
        # Its own place, or that of the least, is for the better of the two.
        there = np.where(was_kept, _NONE, keys[rows, at])
        stays = np.maximum(there, after)
        others = np.maximum(others, np.minimum(there, after))
        keys[rows, at] = np.where(stays > others, stays, _NONE)
        self._keys[guests], self._others[guests] = keys, others
        known = np.count_nonzero(keys != _NONE, axis=1) >= BEST_HOSTS
        return guests[~known & (others != _NONE)]

    def of(self, guests: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """The best hosts of guests: the guest's place, the host, items shared.

        By guest, and the hosts of a guest in the cluster's order.
        """
        keys = np.partition(self._keys[guests], -BEST_HOSTS)[:, -BEST_HOSTS:]
        items, hosts = keys // self._hosts, self._hosts - 1 - keys % self._hosts
        by_host = np.where(keys == _NONE, _LAST, hosts << _ITEM_BITS | items)
        by_host.sort(axis=1)
        places, at = np.nonzero(by_host != _LAST)
        found = by_host[places, at]
        return places, found >> _ITEM_BITS, found & (1 << _ITEM_BITS) - 1

    def _key(self, items: Numbers, hosts: Numbers | int) -> Numbers:
        keys: Numbers = items * self._hosts + (self._hosts - 1 - hosts)
        return np.where(items > 0, keys, _NONE)
