# SPDX-License-Identifier: Apache-2.0
"""Options of the scheduler extension: ``[membuddies]`` in nova.conf.

``transport_url`` of the same group belongs to :mod:`membuddies_nova.conf.bus`.
"""

from oslo_config import cfg

GROUP = "membuddies"

DEFAULT_MULTIPLIER = 20.0
"""Chosen and measured by ``tests/benchmarks/placement_quality.py``."""

OPTIONS = [
    cfg.FloatOpt(
        "sharing_weight_multiplier",
        default=DEFAULT_MULTIPLIER,
        mutable=True,
        help="""
How much expected page sharing counts when nova-scheduler weighs hosts.

SharingWeigher scores a host with the fraction of the guest's memory that it is
expected to share with the guests there, 0 to 1. The score is not stretched, so
a typical host with kin scores 0.1 to 0.5 and any other near 0. Nova's weighers
for memory, vCPUs and disk are each stretched to 0 to 1 with a multiplier of 1.0
and so prefer an empty host to a full one by up to 3.0 together. With the
default of 20.0 an expected fraction of 0.15 (0.15 x 20.0 = 3.0) outweighs all
three; smaller fractions only decide between hosts that are about equally full.

Measured with Nova's other weighers at their defaults, on recorded guests booted one
by one onto four hosts, as a part of what the best layout saves. Of the five guests by
which the default was chosen: 18 % without this weigher, 35 % at 1.0, 63 % at 3.0,
94 % at 6.0, and all of it from 12.0 on. Of eight guests of other images, booted in
other orders: 35 % without this weigher, 58 % at 1.0, 79 % at 3.0, 98 % at 6.0, and
94 % from 12.0 on. Above that nothing is lost or won there; the default leaves room
for guests that share less.

Possible values:

* 0: the extension stays loaded and changes nothing
* a positive number: prefer the hosts where more pages would merge
* a negative number: avoid them

Nova's ``[filter_scheduler] host_subset_size`` above 1 picks at random among the
best hosts and so loosens the choice; ``shuffle_best_same_weighed_hosts`` mixes
only hosts of exactly equal weight and does not.

An aggregate overrides the option for its hosts by the metadata key
``sharing_weight_multiplier``; of several aggregates' values the least counts.
""",
    ),
    cfg.IntOpt(
        "board_refresh_seconds",
        default=10,
        min=1,
        max=3600,
        mutable=True,
        help="""
How often each nova-scheduler worker asks the controller for a newer scoreboard.

A board that has not changed is answered in a few bytes. Placement lags behind
new fingerprints by this time at most.
""",
    ),
    cfg.IntOpt(
        "board_age_limit_seconds",
        default=300,
        min=5,
        mutable=True,
        help="""
How long a scoreboard counts after the controller was last heard.

Beyond it SharingWeigher scores every host with 0 and Nova places as if the
extension were not there, until a controller answers again. Give it a value well
above ``board_refresh_seconds``.
""",
    ),
    cfg.BoolOpt(
        "isolation_fails_closed",
        default=True,
        mutable=True,
        help="""
Whether KsmIsolationFilter takes a guest for foreign of which it does not know
project and flavor.

True keeps tenants apart, and costs placements: while no controller answers, or
until a guest that another scheduler placed is on the scoreboard (one
``[inventory] period_seconds`` and one ``board_refresh_seconds``), its host takes
no guest, not even of the same project. False places there, and tenants may meet.
""",
    ),
    cfg.FloatOpt(
        "unshare_fraction",
        default=0.25,
        min=0.0,
        max=1.0,
        mutable=True,
        help="""
What part of the memory that KSM saves on a host MemoryPressureFilter keeps free
there, for guests that write to their merged pages.

A host that saves 40 GB by KSM must have 10 GB available, and the new guest's whole
memory besides, with the default of 0.25. 0 keeps nothing; 1 lets every merged page
come apart at once. Raise it for guests of one image that are upgraded or restarted
together.
""",
    ),
    cfg.FloatOpt(
        "memory_pressure_limit",
        default=0.1,
        min=0.0,
        max=1.0,
        mutable=True,
        help="""
Above which memory pressure MemoryPressureFilter turns a host away.

It is what the kernel's /proc/pressure/memory calls some avg60, as a fraction: the
part of the last minute in which at least one task waited for memory. 1 never turns
a host away, nor does a kernel without PSI.
""",
    ),
    cfg.FloatOpt(
        "swap_in_limit_pages_per_second",
        default=100.0,
        min=0.0,
        mutable=True,
        help="""
Above which rate of pages that are read back from swap MemoryPressureFilter turns a
host away: the mean between two reports of its agent (pswpin of /proc/vmstat). The
pages have 4096 bytes. A rate that no disk reaches, such as 1e9, never turns one
away.
""",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Make the options known; more than once does no harm."""
    conf.register_opts(OPTIONS, group=GROUP)
