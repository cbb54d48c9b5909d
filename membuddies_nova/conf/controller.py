# SPDX-License-Identifier: Apache-2.0
"""Options of the controller, group ``[controller]``."""

import socket

from oslo_config import cfg

from membuddies_nova.cluster import Scope

GROUP = "controller"

OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt(
        "host",
        default=socket.gethostname(),
        sample_default="<the machine's hostname>",
        help="""
This controller's name in "membuddies status" and on the bus. Two controllers on
one machine need two names.
""",
    ),
    cfg.StrOpt(
        "key_file",
        default="/etc/membuddies/seal.key",
        help="""
File with the cloud's secret key, the same as [agent] key_file on the compute
nodes, mode 0600. Only messages of agents that have one of its keys are believed.
The controller does not start without it and reads it again every 10 seconds.
While the key is changed it holds two lines, the new key first.
""",
    ),
    cfg.IntOpt(
        "store_workers",
        default=4,
        min=1,
        max=64,
        help="""
How many fingerprints are checked and stored at a time. Agents are asked to slow
down while more than twice as many wait. Checking takes processor time, so more
workers than processors help little.
""",
    ),
    cfg.StrOpt(
        "scope",
        default=Scope.PROJECT.value,
        choices=[scope.value for scope in Scope],
        help="""
Within what guests may count on each other's pages when nova-scheduler places
them. project: only guests of one project. group: guests whose flavor names the
same membuddies:trust_group, others by project. global: all guests; a scheduler
that packs across tenants tells a tenant, by where its guests land, what others
hold in memory. Give all controllers the same value.
""",
    ),
    cfg.FloatOpt(
        "report_age_limit_seconds",
        default=300.0,
        min=1.0,
        help="""
A host whose agent has not reported for this long counts as one whose KSM state
is not known, so that nothing is placed there for the sake of sharing.
""",
    ),
    cfg.FloatOpt(
        "full_scan_age_limit_seconds",
        default=21600.0,
        min=1.0,
        help="""
Likewise for a host whose KSM runs, but has not come around all its memory for
this long. At its kernel's defaults KSM looks at 20 MB a second; raise
/sys/kernel/mm/ksm/pages_to_scan on large hosts rather than this.
""",
    ),
    cfg.FloatOpt(
        "fingerprint_age_limit_seconds",
        default=21600.0,
        min=1.0,
        help="""
A guest whose newest scan is older than this has its agent asked for another
one, before all other guests. Keep it well above [agent]
scan_interval_max_seconds. Agents that are asked again and again are short of
[agent] scan_core_share or scan_mb_per_second.
""",
    ),
    cfg.FloatOpt(
        "forget_fingerprint_seconds",
        default=604800.0,
        min=1.0,
        help="""
A guest that no scan has seen for this long (it is shut off or shelved, its agent
is gone) counts as one without a fingerprint: it no longer tells what guests of
its image hold, nor what is on its host. The fingerprint stays in the database,
and counts again with the guest's next scan. Keep it well above
fingerprint_age_limit_seconds, and give all controllers the same value.
""",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Make the options known to a configuration."""
    conf.register_opts(OPTIONS, group=GROUP)
