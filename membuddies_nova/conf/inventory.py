# SPDX-License-Identifier: Apache-2.0
"""Options of the inventory reader: as whom it reads the cloud, and how often.

For operators of ``membuddies-controller``. Besides the options here the group
takes keystoneauth's own (``auth_type``, ``auth_url``, ``cafile``, ``timeout``
and those of the chosen ``auth_type``).
"""

from keystoneauth1 import loading
from oslo_config import cfg

GROUP = "inventory"

_REQUEST_TIMEOUT_SECONDS = 60


def _keystone_options() -> list[cfg.Opt]:
    """keystoneauth's options; a request always has an end."""
    options = [
        *loading.get_auth_common_conf_options(),
        *loading.get_session_conf_options(),
    ]
    for option in options:
        if option.name == "timeout":
            option.default = _REQUEST_TIMEOUT_SECONDS
    return options


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
    cfg.StrOpt(
        "cloud",
        help="A cloud of clouds.yaml to connect to, instead of the auth_* options.",
    ),
    cfg.StrOpt("region_name", help="The region of the endpoints in the catalog."),
    cfg.StrOpt(
        "interface",
        default="public",
        choices=["public", "internal", "admin"],
        help="Which endpoints of the catalog to use.",
    ),
    *_keystone_options(),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Make the group known to ``conf``."""
    conf.register_opts(OPTIONS, group=GROUP)
