# SPDX-License-Identifier: Apache-2.0
"""What the guests of one trust scope share, host by host, kept up to date.

A cloud's fingerprints change one by one, and each changes little: the items that
a guest won or lost, on its host, for its profiles. A :class:`Partition` counts
all of its guests at once when it is made, and after that only what changes. Both
come to the same numbers, because all that it keeps are whole numbers.

The sums are those of products of matrices: M (guests x items), who holds what,
and P (items x hosts), where an item is to be found. M P is kept; a change of one
guest changes a row of M, and of P the columns of the hosts it left and came to.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import scipy.sparse

from membuddies_nova.fingerprint import page
from membuddies_nova.model.best import BestHosts
from membuddies_nova.model.consensus import Consensus, Flags, grown
from membuddies_nova.model.holders import Guests, Holders
from membuddies_nova.model.index import Floats, Grouped, Numbers, spread

_CELLS = 2**22
"""Of a matrix that is counted at a time."""

_NOWHERE = -1


@dataclasses.dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Member:
    """A guest as far as its partition counts it.

    :ivar items: sorted, of the partition's shift
    :ivar host: number of the host where its memory is, None if it has none now
    :ivar teaches: the profiles that it teaches
    """

    items: page.Ids
    host: int | None = None
    teaches: frozenset[str] = frozenset()


_ABSENT = Member(items=np.empty(0, np.uint64))


class Partition:
    """The guests within one trust scope, at one shift, under one key.

    :param hosts: how many the cluster has
    """

    def __init__(self, members: Mapping[str, Member], hosts: int) -> None:
        self.consensus = Consensus()
        self._members = list(members.values())
        self._numbers = {guest: number for number, guest in enumerate(members)}
        self._free: list[int] = []
        self._columns: dict[int, int] = {}
        self._kinds: dict[tuple[int, ...], int] = {}
        self._most_kinds = 0
        self._home = np.full(len(members), _NOWHERE)
        self._kind = np.zeros(len(members), np.int64)
        for number, member in enumerate(self._members):
            self._settle(number, member)
            for row in self.consensus.numbers(member.teaches):
                self.consensus.sizes[row] += 1.0
        self.consensus.room(len(self._columns))
        self._own = np.zeros((len(members), len(self._columns)), np.int32)
        self._at_home = np.zeros(len(members), np.int64)
        self._best = BestHosts(len(members), hosts)
        self._holders = Holders([member.items for member in self._members])
        self._count_all()

    @property
    def memory_bytes(self) -> int:
        """What is kept beside the items."""
        return (
            self._holders.memory_bytes + self.consensus.memory_bytes + self._own.nbytes
        )

    @property
    def guests(self) -> Mapping[str, int]:
        """The guests by number."""
        return self._numbers

    @property
    def columns(self) -> Numbers:
        """The host of each column of the consensus' sums."""
        return np.fromiter(self._columns, np.int64, len(self._columns))

    def best_hosts(self, guests: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Where guests share most with others, see :meth:`BestHosts.of`."""
        return self._best.of(guests)

    def change(self, guest: str, member: Member | None) -> None:
        """Count a guest otherwise than before.

        :param member: None if it is gone
        """
        number = self._number(guest)
        old, new = self._members[number], member or _ABSENT
        if new.host is not None:
            self._columns.setdefault(new.host, len(self._columns))
            self._room()
        was, becomes = (self.consensus.numbers(each.teaches) for each in (old, new))
        sizes = self.consensus.sizes.copy()
        sizes[list(was)] -= 1.0
        sizes[list(becomes)] += 1.0
        items = self._touched(old, new, sizes)
        places, others = self._holders.take(number, items)
        at, counts = self._counted(places, others, len(items))
        had, has = (
            np.isin(items, each.items, assume_unique=True) for each in (old, new)
        )
        before, after = at > 0, at > 0
        columns = sorted(
            {self._columns[each.host] for each in (old, new) if each.host is not None}
        )
        shared = {column: self._shared_on(column) for column in columns}
        if old.host is not None:
            before[had, self._columns[old.host]] = True
        if new.host is not None:
            after[has, self._columns[new.host]] = True
        self._own[number] += after[has].sum(axis=0, dtype=np.int32)
        self._own[number] -= before[had].sum(axis=0, dtype=np.int32)
        for column in columns:
            came = after[:, column].astype(np.float64) - before[:, column]
            self._own[:, column] += np.bincount(
                others, came[places], minlength=len(self._own)
            ).astype(np.int32)
        self.consensus.change(
            items,
            sizes,
            (counts + _outer(had, was, sizes), counts + _outer(has, becomes, sizes)),
            (before, after),
            columns,
        )
        self._holders.put(number, items[has])
        self._members[number] = new
        self._settle(number, new)
        self._review(number, shared)
        self._forget_kinds()
        if member is None:
            self._free.append(self._numbers.pop(guest))

    def _touched(self, old: Member, new: Member, sizes: Floats) -> page.Ids:
        """The items that count otherwise when a guest changes, ascending."""
        if old.host == new.host and old.teaches == new.teaches:
            return np.setxor1d(old.items, new.items, assume_unique=True)
        touched = [old.items, new.items]
        for row in np.flatnonzero(sizes != self.consensus.sizes).tolist():
            touched.append(self.consensus.on_the_edge(row, int(sizes[row])))
            # Where one teacher is left, or another joins the only one, what
            # nobody else holds comes in or leaves.
            if 1.0 in (sizes[row], self.consensus.sizes[row]):
                touched += [member.items for member in self._teachers(row)]
        return np.unique(np.concatenate(touched))

    def _teachers(self, row: int) -> list[Member]:
        kinds = [kind for rows, kind in self._kinds.items() if row in rows]
        return self._at(np.flatnonzero(np.isin(self._kind, kinds)))

    def _at(self, numbers: Numbers) -> list[Member]:
        return [self._members[number] for number in numbers.tolist()]

    def _number(self, guest: str) -> int:
        """Its number, and room for it."""
        if guest in self._numbers:
            return self._numbers[guest]
        if not self._free:
            known = len(self._home)
            count = known + known // 8 + 4
            self._home = np.append(self._home, np.full(count - known, _NOWHERE))
            self._kind = grown(self._kind, (count,))
            self._kind[known:] = self._kind_of(())
            self._own = grown(self._own, (count, self._own.shape[1]))
            self._at_home = grown(self._at_home, (count,))
            self._best.grow(count)
            self._members += [_ABSENT] * (count - known)
            self._free += reversed(range(known, count))
        self._numbers[guest] = self._free.pop()
        return self._numbers[guest]

    def _settle(self, number: int, member: Member) -> None:
        """Note where a guest's memory is, and what it teaches."""
        self._home[number] = _NOWHERE
        if member.host is not None:
            self._home[number] = self._columns.setdefault(
                member.host, len(self._columns)
            )
        self._kind[number] = self._kind_of(self.consensus.numbers(member.teaches))

    def _kind_of(self, rows: tuple[int, ...]) -> int:
        return self._kinds.setdefault(rows, len(self._kinds))

    def _forget_kinds(self) -> None:
        """Forget the sets of rows that nobody teaches, once there may be many."""
        if len(self._kinds) > self._most_kinds:
            used, self._kind = np.unique(self._kind, return_inverse=True)
            known = list(self._kinds)
            self._kinds = {known[kind]: new for new, kind in enumerate(used.tolist())}
            self._most_kinds = 2 * len(self._kinds) + 8

    def _room(self) -> None:
        """Have room for all columns."""
        if len(self._columns) > self._own.shape[1]:
            columns = len(self._columns) * 9 // 8 + 4
            self._own = grown(self._own, (len(self._own), columns))
            self.consensus.room(columns)

    def _count_all(self) -> None:
        """Count all guests for the first time, by the classes of their items."""
        guests = len(self._members)
        found, lone = self._holders.grouped(guests), self._holders.lone(guests)
        # What a guest alone holds is a class, too.
        alone = np.flatnonzero(lone)
        sizes = np.append(found.sizes, np.ones_like(alone))
        owners = np.append(found.owners, alone).astype(np.int32)
        times = np.append(found.counts, lone[alone])
        rows = len(self.consensus.sizes)
        step = max(1, _CELLS // max(self._own.shape[1], rows, len(self._kinds), 1))
        ends = np.cumsum(sizes)
        several = []
        for start in range(0, len(sizes), step):
            part = slice(start, start + step)
            first = int(ends[start] - sizes[start])
            holders = owners[first : int(ends[part][-1])]
            classes = len(sizes[part])
            places = np.repeat(np.arange(classes), sizes[part])
            at, counts = self._counted(places, holders, classes)
            there = at > 0
            held = scipy.sparse.csr_matrix(
                (times[part][places].astype(np.int32), (holders, places)),
                shape=(guests, classes),
            )
            self._own += held @ there.astype(np.int32)
            self.consensus.add(counts, there, times[part].astype(np.float64))
            placed = np.flatnonzero(self._home[holders] != _NOWHERE)
            beside = at[places[placed], self._home[holders[placed]]] > 1
            self._at_home += np.bincount(
                holders[placed[beside]],
                times[part][places[placed[beside]]],
                minlength=guests,
            ).astype(np.int64)
            held_by, row = np.nonzero(counts >= 2.0)
            several.append((row, held_by + start, counts[held_by, row]))
        self._teach(found, several)
        for some in np.array_split(np.arange(guests), guests // 1000 + 1):
            self._choose(some)

    def _teach(
        self, found: Grouped, several: list[tuple[Numbers, Numbers, Floats]]
    ) -> None:
        """Let the rows know which items several of their teachers hold.

        :param several: row, class and count, in parts
        """
        if not several:
            return
        row, classes, counts = (
            np.concatenate(each) for each in zip(*several, strict=True)
        )
        by_class = np.argsort(found.class_of, kind="stable")
        starts = np.cumsum(found.counts) - found.counts
        for each in np.unique(row):
            of_row = classes[row == each]
            items = found.items[by_class[spread(starts[of_row], found.counts[of_row])]]
            held = np.repeat(counts[row == each], found.counts[of_row])
            order = np.argsort(items)
            self.consensus.learn(each, items[order], held[order])

    def _counted(
        self, places: Numbers, guests: Guests, items: int
    ) -> tuple[Numbers, Floats]:
        """How many guests of each host, and teachers of each row, hold items.

        :param places: an item's number, and in ``guests`` one of its holders, for
            each of them
        :returns: items x columns, items x rows
        """
        columns, kinds = self._own.shape[1], len(self._kinds)
        home = self._home[guests]
        placed = home != _NOWHERE
        at = np.bincount(
            places[placed] * columns + home[placed], minlength=items * columns
        )
        of_kind = np.bincount(
            places * kinds + self._kind[guests], minlength=items * kinds
        )
        teaches = scipy.sparse.csr_matrix(
            (
                np.ones(sum(map(len, self._kinds))),
                (
                    np.repeat(np.arange(kinds), list(map(len, self._kinds))),
                    [row for rows in self._kinds for row in rows],
                ),
            ),
            shape=(kinds, len(self.consensus.sizes)),
        )
        counts: Floats = of_kind.reshape(items, kinds).astype(np.float64) @ teaches
        return at.reshape(items, columns), counts

    def _shared_on(self, column: int) -> Numbers:
        """Items that each guest shares, or would share, with others on a host."""
        return np.where(self._home == column, self._at_home, self._own[:, column])

    def _count_at_home(self, column: int) -> None:
        """Count what the guests of a host share there with one another."""
        here = np.flatnonzero(self._home == column)
        members = self._at(here)
        owners = np.repeat(here, [len(each.items) for each in members])
        items = np.concatenate([_ABSENT.items, *(each.items for each in members)])
        order = np.argsort(items)
        items, owners = items[order], owners[order]
        same = items[1:] == items[:-1]
        shared = np.append(False, same) | np.append(same, False)
        self._at_home[here] = np.bincount(
            owners[shared[: len(items)]], minlength=len(self._home)
        )[here]

    def _review(self, number: int, shared: Mapping[int, Numbers]) -> None:
        """Find the best hosts again after a guest has changed.

        :param shared: what was shared on the hosts where it was and is, by column
        """
        unclear = [np.array([number])]
        for column in shared:
            self._count_at_home(column)
        hosts = self.columns
        for column, before in shared.items():
            now = self._shared_on(column)
            changed = np.flatnonzero(now != before)
            unclear.append(
                self._best.change(
                    changed, int(hosts[column]), before[changed], now[changed]
                )
            )
        self._choose(np.unique(np.concatenate(unclear)))

    def _choose(self, guests: Numbers) -> None:
        items = self._own[guests, : len(self._columns)].astype(np.int64)
        placed = np.flatnonzero(self._home[guests] != _NOWHERE)
        items[placed, self._home[guests[placed]]] = self._at_home[guests[placed]]
        self._best.choose(guests, self.columns, items)


def _outer(items: Flags, rows: tuple[int, ...], sizes: Floats) -> Floats:
    """1 for each of the items in each of the rows."""
    found = np.zeros((len(items), len(sizes)))
    found[np.ix_(items, np.array(rows, np.int64))] = 1.0
    return found
