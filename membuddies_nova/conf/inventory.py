# SPDX-License-Identifier: Apache-2.0
"""Options of the inventory reader: as whom it reads the cloud, and how often.

For operators of ``membuddies-controller``. Besides the options here the group
takes keystoneauth's own (``auth_type``, ``auth_url``, ``cafile``, ``timeout``
and those of the chosen ``auth_type``).
"""

from oslo_config import cfg

from membuddies_nova.conf import cloud

GROUP = "inventory"

OPTIONS: list[cfg.Opt] = [
    cfg.FloatOpt(
        "period_seconds",
        default=60,
        min=1,
        help="Seconds between two readings of Nova, Placement and Glance. Guests "
        "that Nova does not know, or knows elsewhere, are held for one period. Plans "
        "run only on an inventory younger than a minute: with a longer period an "
        "approved plan waits for the next reading.",
    ),
    cfg.ListOpt(
        "unmovable_projects",
        default=[],
        help="Ids of projects whose guests are never moved. A single flavor, "
        "aggregate or instance opts out by membuddies:movable=false in its extra "
        "specs or metadata.",
    ),
    cfg.IntOpt(
        "guest_overhead_mb",
        default=128,
        min=0,
        help="Memory that QEMU takes beside a guest's own, in MB. An arriving guest "
        "needs both. `ps -o rss` of QEMU minus the guest's memory tells yours.",
    ),
    *cloud.options(),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Make the group known to ``conf``."""
    conf.register_opts(OPTIONS, group=GROUP)
