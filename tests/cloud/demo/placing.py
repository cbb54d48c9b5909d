# SPDX-License-Identifier: Apache-2.0
"""A new guest, placed by nova-scheduler: with our weigher, and without its weight.

The multiplier is set to 0 as an operator would: by the metadata of an aggregate over
all hosts, with no restart of anything.  Afterwards the aggregate is gone.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.cloud.lab.cloud import Cloud
from tests.cloud.lab.errors import LabError
from tests.cloud.lab.guests import Guest

from . import scheduling
from .cast import NEWCOMER, TENANT, UNAWARE_NEWCOMER
from .scheduling import Choice

_AGGREGATE = "without-sharing"
_MULTIPLIER = "sharing_weight_multiplier"
_TRIES = 5


@dataclass(frozen=True)
class Placement:
    """Where Nova put the new guest, and where it would have gone without us.

    ``shared_frames`` are those that the new guest has in common with the other
    guests of each host, counted by the kernel after KSM has converged.
    """

    aware: Choice
    unaware: Choice
    shared_frames: Mapping[str, int]

    @property
    def best_host(self) -> str:
        """Whose guests share most with the new one."""
        return max(self.shared_frames, key=lambda host: self.shared_frames[host])

    @property
    def is_right(self) -> bool:
        """Our weigher chose the best host, and Nova alone chose another."""
        return self.aware.host == self.best_host != self.unaware.host


def place(cloud: Cloud) -> tuple[Guest, Choice]:
    """Boots the new guest without naming a host."""
    guests = cloud.guests(TENANT)
    guest = NEWCOMER.start(guests)
    guests.wait_until_ready([guest])
    return guest, _choice(cloud, guest)


def place_unaware(cloud: Cloud) -> Choice:
    """Sends the same request while our multiplier is 0; its guest does not stay.

    :raises LabError: nova-scheduler does not see the aggregate
    """
    guests = cloud.guests(TENANT)
    with _without_sharing(cloud):
        for _ in range(_TRIES):
            guest = UNAWARE_NEWCOMER.start(guests)
            try:
                guests.wait_until_active(guest)
                made = _choice(cloud, guest)
            finally:
                guests.delete([guest])
            if made.sharing_multipliers == {0.0}:
                return made
            # Nova tells its schedulers of aggregates by a cast: soon, not at once.
            time.sleep(1)
    raise LabError(f"nova-scheduler does not heed the metadata {_MULTIPLIER}=0")


def _choice(cloud: Cloud, guest: Guest) -> Choice:
    return scheduling.choice(cloud.service_log("nova-scheduler"), guest.id)


@contextlib.contextmanager
def _without_sharing(cloud: Cloud) -> Iterator[None]:
    """An aggregate over all hosts that sets our weigher's multiplier to 0."""
    compute = cloud.connect().compute
    aggregate = compute.create_aggregate(name=_AGGREGATE)
    try:
        for host in cloud.hosts:
            compute.add_host_to_aggregate(aggregate, host)
        compute.set_aggregate_metadata(aggregate, {_MULTIPLIER: "0"})
        yield
    finally:
        compute.set_aggregate_metadata(aggregate, {_MULTIPLIER: None})
        for host in cloud.hosts:
            compute.remove_host_from_aggregate(aggregate, host)
        compute.delete_aggregate(aggregate)
