# SPDX-License-Identifier: Apache-2.0
"""The scoreboard of the cloud of :mod:`scheduler_cloud`, by the controller's code."""

import uuid

import numpy as np

from membuddies_nova.cluster import Guest, Host, Image, Scope
from membuddies_nova.fingerprint.sample import Counters, Sample
from membuddies_nova.model.board import board_of
from membuddies_nova.model.profiles import learn
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.scoreboard import codec
from tests.benchmarks import scheduler_cloud as cloud

# Few items for each guest: the size of a board does not depend on how many.
_SHIFT = 13
_IMAGE_ITEMS, _RELEASE_ITEMS, _OWN_ITEMS = 12, 20, 10


def snapshot() -> ClusterSnapshot:
    """The cloud as a controller sees it."""
    return ClusterSnapshot(
        hosts=tuple(
            Host(
                name=cloud.host_name(number),
                memory_mb=2**18,
                available_mb=2**17 + 64 * number,
                sharing_mb=64 * number,
                pressure=0.0,
                swap_in_pages_per_second=0.0,
            )
            for number in range(cloud.HOSTS)
        ),
        guests=cloud.guests(),
        samples={guest.uuid: _sample(guest) for guest in cloud.guests()},
    )


def board_bytes() -> bytes:
    """The encoded board of all that."""
    whole = snapshot()
    images = [
        Image(
            id=cloud.name_of("image", number),
            os_distro=cloud.RELEASES[number % len(cloud.RELEASES)][0],
            os_version=cloud.RELEASES[number % len(cloud.RELEASES)][1],
        )
        for number in range(cloud.IMAGES)
    ]
    return codec.encode(
        board_of(whole, learn(whole, Scope.PROJECT), Scope.PROJECT, images=images)
    )


def _sample(guest: Guest) -> Sample:
    items = np.unique(
        np.concatenate(
            (
                _items(f"image {guest.image}", _IMAGE_ITEMS),
                _items(f"release {guest.os_distro} {guest.os_version}", _RELEASE_ITEMS),
                _items(f"guest {guest.uuid}", _OWN_ITEMS),
            )
        )
    )
    pages = len(items) << _SHIFT
    return Sample.of_unique(
        items,
        Counters(resident_pages=pages, unique_pages=pages, zero_pages=0),
        shift=_SHIFT,
    )


def _items(name: str, count: int) -> np.ndarray:
    """Ids with as many leading zeros as the shift asks for."""
    seed = uuid.uuid5(uuid.NAMESPACE_OID, name).int % 2**32
    return np.random.default_rng(seed).integers(
        2 ** (64 - _SHIFT), size=count, dtype=np.uint64
    )
