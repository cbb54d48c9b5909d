# SPDX-License-Identifier: Apache-2.0
"""Clouds of any size with the statistics of recorded guests.

A guest's unique pages are, in the parts that the recorded guests show: pages of
its release that all images of the release have, pages of its image, and its own.
Of the first two each guest has replaced a few by its own (churn). Images are as
frequent as Zipf says: the second half as often as the first, and so on. Items are
drawn as they would be sampled and sealed, so no page is ever hashed.
"""

import dataclasses
import itertools
import json
import pathlib
import re

import numpy as np

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.fingerprint import codec, page
from membuddies_nova.fingerprint.sample import MIN_SHIFT, Counters, Sample
from membuddies_nova.model.snapshot import ClusterSnapshot
from tests.benchmarks.guests import KEY, recorded

_NAME = re.compile(r"(?P<release>\w+)-(?P<role>\w+)-(?P<guest>\d+)\.t(?P<time>\d+)")
PAGES_PER_MB = 256


@dataclasses.dataclass(frozen=True, slots=True)
class Statistics:
    """Parts of recorded guests; those of memory are of present pages, all others
    of unique pages.

    :ivar unique: of memory
    :ivar zero: of memory
    :ivar release: common to guests of one release and different roles
    :ivar image: common to guests of one role, beyond that
    :ivar churn: of one guest, gone a while later
    """

    unique: float
    zero: float
    release: float
    image: float
    churn: float


CORPUS = Statistics(unique=0.725, zero=0.129, release=0.399, image=0.144, churn=0.059)
"""As ``statistics`` measures it of the corpus, of which a few are in examples/."""


def statistics() -> Statistics:
    """Measure the recorded guests."""
    zero = np.uint64(page.zero_page_id())
    lists = {
        match: ids
        for name, ids in recorded().items()
        if (match := _NAME.fullmatch(name))
    }
    unique = {match: np.setdiff1d(ids, [zero]) for match, ids in lists.items()}
    release, role, churn = [], [], []
    for one, other in itertools.permutations(lists, 2):
        common = len(np.intersect1d(unique[one], unique[other])) / len(unique[one])
        if one["release"] != other["release"]:
            continue
        if one["role"] != other["role"]:
            release.append(common)
        elif one["guest"] != other["guest"]:
            role.append(common)
        elif one["time"] < other["time"]:
            churn.append(1.0 - common)
    return Statistics(
        unique=_mean([len(unique[each]) / len(lists[each]) for each in lists]),
        zero=_mean(
            [np.count_nonzero(ids == zero) / len(ids) for ids in lists.values()]
        ),
        release=_mean(release),
        image=_mean(role) - _mean(release),
        churn=_mean(churn),
    )


def cloud(
    hosts: int,
    guests: int,
    *,
    seed: int = 0,
    images: int = 40,
    releases: int = 4,
    projects: int = 1,
    guest_mb: int = 1024,
    host_mb: int = 16384,
    parts: Statistics = CORPUS,
) -> ClusterSnapshot:
    """A cloud whose scheduler knew nothing of sharing: guests are anywhere.

    The same arguments give the same cloud.
    """
    random = np.random.default_rng(seed)
    memory_pages = guest_mb * PAGES_PER_MB
    unique = round(memory_pages * parts.unique)
    pools = [_items(random, unique * parts.release) for _ in range(releases)]
    own_pools = [_items(random, unique * parts.image) for _ in range(images)]
    frequency = 1.0 / np.arange(1, images + 1)
    image_of = random.choice(images, guests, p=frequency / frequency.sum())
    project_of = random.integers(0, projects, guests)
    slots = np.repeat(np.arange(hosts), host_mb // guest_mb)
    host_of = random.permutation(slots)[:guests]
    counters = Counters(
        resident_pages=memory_pages,
        unique_pages=unique,
        zero_pages=round(memory_pages * parts.zero),
    )
    found, samples = [], {}
    for number, image in enumerate(image_of):
        name = f"vm{number}"
        shared = np.concatenate((pools[image % releases], own_pools[image]))
        shared = shared[random.random(len(shared)) >= parts.churn]
        own = _items(random, max(unique - len(shared) * 2**MIN_SHIFT, 0))
        samples[name] = Sample(
            items=np.unique(np.concatenate((shared, own))),
            shift=MIN_SHIFT,
            key_id=KEY.key_id,
            counters=counters,
        )
        found.append(
            Guest(
                uuid=name,
                name=name,
                memory_mb=guest_mb,
                host=f"m{host_of[number]}",
                image=f"image-{image}",
                project=f"project-{project_of[number]}",
            )
        )
    return ClusterSnapshot(
        hosts=tuple(Host(name=f"m{at}", memory_mb=host_mb) for at in range(hosts)),
        guests=tuple(found),
        samples=samples,
    )


def write(snapshot: ClusterSnapshot, folder: pathlib.Path) -> pathlib.Path:
    """Write a cloud as a scenario with its guests' ``.mbf`` files.

    :returns: the scenario's file
    """
    guests = []
    for guest in snapshot.guests:
        file = f"{guest.name}.mbf"
        (folder / file).write_bytes(codec.encode(snapshot.samples[guest.uuid]))
        guests.append(
            {
                "name": guest.name,
                "memory_mb": guest.memory_mb,
                "host": guest.host,
                "image": guest.image,
                "project": guest.project,
                "fingerprint": file,
            }
        )
    hosts = [
        {"name": host.name, "memory_mb": host.memory_mb} for host in snapshot.hosts
    ]
    path = folder / "scenario.json"
    path.write_text(json.dumps({"format": 1, "hosts": hosts, "guests": guests}))
    return path


def churned(sample: Sample, part: float, seed: int) -> Sample:
    """The sample after a part of its items was replaced by the guest's own."""
    random = np.random.default_rng(seed)
    kept = sample.items[random.random(len(sample.items)) >= part]
    new = _items(random, (len(sample.items) - len(kept)) * 2**MIN_SHIFT)
    return dataclasses.replace(sample, items=np.unique(np.concatenate((kept, new))))


def _items(random: np.random.Generator, pages: float) -> page.Ids:
    """Sealed items that a sample of so many pages nobody has would have."""
    count = int(random.binomial(max(round(pages), 0), 2.0**-MIN_SHIFT))
    levels = MIN_SHIFT + random.geometric(0.5, count).astype(np.uint64) - np.uint64(1)
    values = random.integers(0, 2**58, count, dtype=np.uint64) << np.uint64(6)
    return values | np.minimum(levels, np.uint64(63))


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0
