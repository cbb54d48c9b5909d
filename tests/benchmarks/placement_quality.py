# SPDX-License-Identifier: Apache-2.0
"""What placing guests one by one saves, against the best layout there is.

Recorded guests (MEMBUDDIES_CORPUS) are booted in several random orders onto four
hosts that could hold about twice as many. Nova's own handler weighs the hosts, with
its default weighers alone, with ImagePropertiesWeigher at 1.0 (each image has
properties of its own, read from a real database of Nova's), and with ours at several
multipliers; after each boot the guest's fingerprint reaches the board, by the
controller's code.
Of a guest that was recorded twice the first recording counts; guests whose names
differ in their number alone are of one image.

What counts are megabytes that the guests of a host need not hold twice, exact to
the page, summed over the orders. The best is what a search over whole layouts finds,
which knows all guests before the first is booted.

The default multiplier is held against guests and orders that it was not chosen on:
guests of some images choose, guests of all other images are measured. It stands if
no other multiplier saves more than a hundredth more on the former.

Run: python -m tests.benchmarks.placement_quality [ORDERS]
"""

import collections
import dataclasses
import pathlib
import random
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from nova import objects
from nova.scheduler import host_manager, weights
from nova.scheduler.weights.image_props import ImagePropertiesWeigher

from membuddies_nova.cluster import Guest, Host, Image, Scope
from membuddies_nova.conf.scheduler import DEFAULT_MULTIPLIER
from membuddies_nova.fingerprint import page
from membuddies_nova.fingerprint.sample import MIN_SHIFT, Sample
from membuddies_nova.model.board import board_of
from membuddies_nova.model.profiles import learn
from membuddies_nova.model.sharing import SharingModel
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.scheduler import local_board
from membuddies_nova.scoreboard import codec
from tests.benchmarks import guests as recordings
from tests.benchmarks import nova_cell, scheduler_cloud
from tests.benchmarks.figure import Figure

ASKED = 0.9
ORDERS = 6
HOSTS = tuple(f"m{number}" for number in range(4))
TIE = 0.99
FLAVOR_MB = 512
MULTIPLIERS = (1.0, 3.0, 6.0, 12.0, 20.0, 40.0)

Layout = dict[str, str]
"""Host by guest."""


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A recorded guest: its pages, what it was made of."""

    uuid: str
    pages: page.Ids
    sample: Sample
    image: str
    image_name: str
    release: str


@dataclasses.dataclass(frozen=True)
class Mix:
    """Guests that are booted together, in orders of their own.

    :ivar images: whose guests these are
    :ivar host_guests: how many a host holds
    :ivar first_seed: of the first order
    """

    name: str
    images: frozenset[str]
    host_guests: int
    first_seed: int

    def orders(
        self, everybody: list[Recorded], count: int
    ) -> Iterator[tuple[list[Recorded], random.Random]]:
        for number in range(count):
            chance = random.Random(self.first_seed + number)
            order = [each for each in everybody if each.image_name in self.images]
            chance.shuffle(order)
            yield order, chance


CHOOSING = Mix(
    "guests to choose by",
    frozenset({"bw-nginx", "bw-postgres", "tx-nginx", "tx-redis"}),
    host_guests=3,
    first_seed=0,
)
MEASURED = Mix(
    "held-out guests",
    frozenset(
        {"bw-django", "bw-java", "bw-lamp", "bw-redis", "tx-node", "tx-postgres"}
    ),
    host_guests=4,
    first_seed=1000,
)
TOGETHER = Mix(
    "all guests, held-out orders",
    CHOOSING.images | MEASURED.images,
    host_guests=6,
    first_seed=2000,
)


def recorded() -> list[Recorded]:
    """All of the corpus; names are like bw-nginx-1.t0, release first."""
    zero = np.uint64(page.zero_page_id())
    found = []
    for name, ids in recordings.recorded().items():
        if name.endswith(".t1"):
            continue
        image = name.split(".")[0].rpartition("-")[0]
        sample = Sample.of_pages(ids, shift=MIN_SHIFT).sealed(recordings.KEY)
        found.append(
            Recorded(
                uuid=scheduler_cloud.name_of("recorded", hash_of(name)),
                pages=np.setdiff1d(ids, [zero]),
                sample=sample,
                image=scheduler_cloud.name_of("image", hash_of(image)),
                image_name=image,
                release=name.split("-")[0],
            )
        )
    return found


def hash_of(name: str) -> int:
    return uuid.uuid5(uuid.NAMESPACE_OID, name).int


class Replay:
    """Boots guests in one order and keeps where they are."""

    def __init__(self, order: list[Recorded], host_guests: int) -> None:
        self.order = order
        self._host_guests = host_guests
        self._held = local_board.shared()

    def run(self, weighers: list[Any]) -> Layout:
        """Where the guests come to be."""
        layout: Layout = {}
        for each in self.order:
            self._held.hold(self._board(layout))
            states = [
                self._state(host, layout)
                for host in HOSTS
                if list(layout.values()).count(host) < self._host_guests
            ]
            weighed = weights.HostWeightHandler().get_weighed_objects(
                weighers, states, self._request(each)
            )
            layout[each.uuid] = weighed[0].obj.host
        return layout

    def _board(self, layout: Layout) -> Any:
        placed = [each for each in self.order if each.uuid in layout]
        placed.sort(key=lambda each: each.uuid)
        used = list(layout.values())
        snapshot = ClusterSnapshot(
            hosts=tuple(
                Host(
                    name=host,
                    memory_mb=self._host_guests * FLAVOR_MB,
                    available_mb=(self._host_guests - used.count(host)) * FLAVOR_MB,
                )
                for host in HOSTS
            ),
            guests=tuple(guest_of(each, layout[each.uuid]) for each in placed),
            samples={each.uuid: each.sample for each in placed},
        )
        images = {
            each.image: Image(
                id=each.image, os_distro="debian", os_version=each.release
            )
            for each in self.order
        }
        board = board_of(
            snapshot,
            learn(snapshot, Scope.PROJECT),
            Scope.PROJECT,
            images=images.values(),
        )
        return codec.decode(codec.encode(board)).prepared()

    def _state(self, host: str, layout: Layout) -> Any:
        there = [each for each in self.order if layout.get(each.uuid) == host]
        state = host_manager.HostState(host, host, nova_cell.CELL)
        state.total_usable_ram_mb = self._host_guests * FLAVOR_MB
        state.free_ram_mb = (self._host_guests - len(there)) * FLAVOR_MB
        state.vcpus_total, state.vcpus_used = 16, len(there)
        state.free_disk_mb, state.total_usable_disk_gb = 100 * 1024, 100
        state.cpu_allocation_ratio = state.ram_allocation_ratio = 1.0
        state.disk_allocation_ratio = 1.0
        state.hypervisor_version = 7002000
        state.num_instances = len(there)
        state.aggregates = []
        state.instances = {
            each.uuid: objects.Instance(uuid=each.uuid, image_ref=each.image)
            for each in there
        }
        return state

    def _request(self, each: Recorded) -> Any:
        spec = scheduler_cloud.request(guest_of(each, None))
        spec.image.properties = objects.ImageMetaProps(**properties_of(each))
        spec.instance_uuid = each.uuid
        return spec


def properties_of(each: Recorded) -> dict[str, str]:
    """What no other image has; the release stands in Glance alone."""
    return {"img_owner_id": each.image}


def guest_of(each: Recorded, host: str | None) -> Guest:
    return Guest(
        uuid=each.uuid,
        name=each.uuid,
        memory_mb=FLAVOR_MB,
        host=host,
        project="p1",
        image=each.image,
        os_distro="debian",
        os_version=each.release,
        flavor="m1.small",
    )


def saved_mb(order: list[Recorded], layout: Layout) -> float:
    """Pages that guests of one host hold more than once, exact."""
    pages = 0
    for host in HOSTS:
        there = [each.pages for each in order if layout[each.uuid] == host]
        if there:
            together = np.concatenate(there)
            pages += len(together) - len(np.unique(together))
    return pages * page.PAGE_SIZE / 2**20


def best_mb(
    order: list[Recorded], host_guests: int, chance: random.Random, starts: int = 12
) -> float:
    """The best layout that a search by moves and swaps finds, exact."""
    snapshot = ClusterSnapshot(
        hosts=(),
        guests=tuple(guest_of(each, None) for each in order),
        samples={each.uuid: each.sample for each in order},
    )
    model = SharingModel(snapshot)
    known: dict[frozenset[str], float] = {}

    def worth(group: frozenset[str]) -> float:
        if group not in known:
            known[group] = model.saved_pages(sorted(group)).pages
        return known[group]

    found = []
    for _ in range(starts):
        uuids = [each.uuid for each in order]
        chance.shuffle(uuids)
        layout = {each: HOSTS[number % len(HOSTS)] for number, each in enumerate(uuids)}
        climb(layout, host_guests, worth)
        total = sum(worth(on(layout, host)) for host in HOSTS)
        found.append((total, sorted(layout.items())))
    return saved_mb(order, dict(max(found)[1]))


def on(layout: Layout, host: str) -> frozenset[str]:
    return frozenset(uuid for uuid, where in layout.items() if where == host)


def climb(
    layout: Layout, host_guests: int, worth: Callable[[frozenset[str]], float]
) -> None:
    """Move one guest, or swap two, as long as that saves more."""
    better = True
    while better:
        better = False
        for one in sorted(layout):
            for host in HOSTS:
                here = layout[one]
                if host == here:
                    continue
                mine, others = on(layout, here), on(layout, host)
                now = worth(mine) + worth(others)
                if len(others) < host_guests and (
                    worth(mine - {one}) + worth(others | {one}) > now
                ):
                    layout[one] = host
                    better = True
                    continue
                for other in sorted(others):
                    swapped = worth(mine - {one} | {other}) + worth(
                        others - {other} | {one}
                    )
                    if swapped > now:
                        layout[one], layout[other] = host, here
                        better = True
                        break


def main() -> int:
    orders = int(sys.argv[1]) if len(sys.argv) > 1 else ORDERS
    everybody = recorded()
    held = local_board.shared()
    held.start = lambda: None  # type: ignore[method-assign]
    scheduler_cloud.configure([scheduler_cloud.OURS], {})
    conf = scheduler_cloud.nova.conf.CONF
    handler = weights.HostWeightHandler()
    classes = handler.get_matching_classes(conf.filter_scheduler.weight_classes)
    everything = [cls() for cls in classes]
    novas = [w for w in everything if type(w).__name__ != "SharingWeigher"]
    assert any(isinstance(w, ImagePropertiesWeigher) for w in novas)

    with tempfile.TemporaryDirectory(prefix="membuddies-nova-") as folder:
        cell = nova_cell.Cell(pathlib.Path(folder))
        for each in everybody:
            cell.add(each.uuid, "somewhere", properties_of(each))
        saved = {
            mix.name: policies(mix, everybody, orders, novas, everything)
            for mix in (CHOOSING, MEASURED, TOGETHER)
        }
    for name, totals in saved.items():
        print(f"{name}:")
        for policy, total in totals.items():
            print(f"  {policy:18s} {total:9.1f} MB  {total / totals['best']:.3f}")
    chosen, found = saved[CHOOSING.name], saved[MEASURED.name]
    default = f"ours at {DEFAULT_MULTIPLIER:g}"
    most = max(chosen[f"ours at {multiplier:g}"] for multiplier in MULTIPLIERS)
    status = Figure(
        name="placement_quality",
        what="memory saved by booting held-out guests one by one, of the best layout",
        how="at least",
        asked=ASKED,
        measured=found[default] / found["best"],
        unit="of the best",
        facts={
            "orders": orders,
            "held-out guests": sorted(MEASURED.images),
            "of the best, all guests, held-out orders": round(
                saved[TOGETHER.name][default] / saved[TOGETHER.name]["best"], 3
            ),
            "saved MB": {
                mix: {name: round(total, 1) for name, total in totals.items()}
                for mix, totals in saved.items()
            },
        },
    ).publish()
    status |= Figure(
        name="placement_quality_choice",
        what="saved with the default multiplier by the guests that choose it, against "
        "the best multiplier",
        how="at least",
        asked=TIE,
        measured=chosen[default] / most,
        unit="times",
        facts={"guests to choose by": sorted(CHOOSING.images)},
    ).publish()
    return (
        status
        | Figure(
            name="placement_quality_against_nova",
            what="the held-out guests against the better of Nova's own and "
            "ImagePropertiesWeigher",
            how="at least",
            asked=1.0,
            measured=found[default] / max(found["nova"], found["image properties"]),
            unit="times",
        ).publish()
    )


def policies(
    mix: Mix,
    everybody: list[Recorded],
    orders: int,
    novas: list[Any],
    everything: list[Any],
) -> dict[str, float]:
    """Megabytes that each policy saves, summed over a mix' orders."""
    conf = scheduler_cloud.nova.conf.CONF
    totals: collections.Counter[str] = collections.Counter()
    for order, chance in mix.orders(everybody, orders):
        replay = Replay(order, mix.host_guests)
        totals["best"] += best_mb(order, mix.host_guests, chance)
        totals["nova"] += saved_mb(order, replay.run(novas))
        group = "filter_scheduler"
        conf.set_override("image_props_weight_multiplier", 1.0, group=group)
        totals["image properties"] += saved_mb(order, replay.run(novas))
        conf.clear_override("image_props_weight_multiplier", group=group)
        for multiplier in MULTIPLIERS:
            conf.set_override(
                "sharing_weight_multiplier", multiplier, group="membuddies"
            )
            totals[f"ours at {multiplier:g}"] += saved_mb(order, replay.run(everything))
    return dict(totals)


if __name__ == "__main__":
    sys.exit(main())
