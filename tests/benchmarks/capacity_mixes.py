# SPDX-License-Identifier: Apache-2.0
"""Mixes of guests like the recorded ones, that wait for a place.

Of a recorded guest, what any other recorded guest has too is common to all guests
of the image; so is a part of the rest, as large as guests of one role show beyond
their release. All else is the guest's own, and of the common pages a few are, as
guests change (see ``clouds.Statistics``). Every guest has the same flavor, which
holds the largest recorded one. Hosts hold about four or five unshared guests, as
the published ones did.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.fingerprint import page
from membuddies_nova.fingerprint.sample import Counters, Sample
from membuddies_nova.model.snapshot import ClusterSnapshot
from tests.benchmarks.clouds import CORPUS
from tests.benchmarks.guests import recorded

FLAVOR_MB = 416
SHIFT = 7


@dataclasses.dataclass(frozen=True, slots=True)
class Mix:
    """An experiment, fixed before any result.

    :ivar roles: recorded guests whose names begin so, equally likely
    :ivar waiting: more than can fit
    """

    name: str
    hosts: int
    host_mb: int
    waiting: int
    roles: tuple[str, ...]


MIXES = (
    Mix("a", 4, 1280, 60, ("bw-nginx", "bw-redis", "bw-postgres", "bw-java")),
    Mix("b", 100, 1280, 1000, ("bw-", "tx-")),
    Mix("c", 20, 4096, 800, ("bw-nginx", "tx-nginx", "bw-redis", "tx-redis",
                             "bw-postgres", "tx-postgres")),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Image:
    """A recorded guest, parted; sampled ids."""

    name: str
    common: page.Ids
    own: int
    counters: Counters


def waiting(mix: Mix, seed: int) -> ClusterSnapshot:
    """Empty hosts, and guests in an order that the seed decides."""
    random = np.random.default_rng(seed)
    images = [image for image in _images() if image.name.startswith(mix.roles)]
    # Images of a mix are interleaved: each comes once before one comes twice.
    order = np.concatenate(
        [random.permutation(len(images)) for _ in range(mix.waiting // len(images) + 1)]
    )[: mix.waiting]
    return _snapshot(
        random,
        [images[number] for number in order],
        [Host(name=f"m{at}", memory_mb=mix.host_mb) for at in range(mix.hosts)],
        placed=False,
    )


def one_each(hosts: int, host_mb: int, seed: int) -> ClusterSnapshot:
    """One guest a host, of any image."""
    random = np.random.default_rng(seed)
    images = _images()
    return _snapshot(
        random,
        [images[number] for number in random.integers(0, len(images), hosts)],
        [Host(name=f"m{at}", memory_mb=host_mb) for at in range(hosts)],
        placed=True,
    )


def _snapshot(
    random: np.random.Generator,
    images: Sequence[_Image],
    hosts: Sequence[Host],
    placed: bool,
) -> ClusterSnapshot:
    guests, samples = [], {}
    for number, image in enumerate(images):
        name = f"vm{number}"
        kept = image.common[random.random(len(image.common)) >= CORPUS.churn]
        own = image.own + len(image.common) - len(kept)
        new = random.integers(0, 2 ** (64 - SHIFT), own, dtype=np.uint64)
        samples[name] = Sample(
            items=np.unique(np.concatenate((kept, new))),
            shift=SHIFT,
            counters=image.counters,
        )
        guests.append(
            Guest(
                uuid=name,
                name=name,
                memory_mb=FLAVOR_MB,
                image=image.name,
                host=hosts[number].name if placed else None,
            )
        )
    return ClusterSnapshot(hosts=tuple(hosts), guests=tuple(guests), samples=samples)


@functools.cache
def _images() -> tuple[_Image, ...]:
    """One image for each release and role, from its first recorded guest."""
    samples = {
        name.rpartition(".")[0]: Sample.of_pages(ids, shift=SHIFT)
        for name, ids in recorded().items()
        if name.endswith(".t0")
    }
    if not samples:
        raise SystemExit("MEMBUDDIES_CORPUS must name the recorded guests (*.t0.npy)")
    firsts: dict[str, str] = {}
    for name in sorted(samples):
        firsts.setdefault(name.rpartition("-")[0], name)
    random = np.random.default_rng(0)
    images = []
    for image, name in firsts.items():
        sample = samples[name]
        others = [other.items for key, other in samples.items() if key != name]
        known = np.isin(sample.items, np.concatenate(others))
        more = random.random(len(known)) < CORPUS.image / (1.0 - CORPUS.release)
        common = sample.items[known | more]
        images.append(
            _Image(image, common, len(sample.items) - len(common), sample.counters)
        )
    return tuple(images)
