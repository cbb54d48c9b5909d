# SPDX-License-Identifier: Apache-2.0
"""Options of the compute-node agent, group ``[agent]``."""

import socket

from oslo_config import cfg

GROUP = "agent"

OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt(
        "host",
        default=socket.gethostname(),
        sample_default="<the machine's hostname>",
        help="""
This compute node's name, spelled exactly as in the Host column of "openstack
compute service list". If nova.conf on this node sets [DEFAULT] host, set the
same here: the controller drops fingerprints from a host that Nova does not
place the guest on.
""",
    ),
    cfg.StrOpt(
        "libvirt_uri",
        default="qemu:///system",
        help="""
The libvirt daemon that runs this node's guests. The agent connects read-only.
Where libvirt's socket is elsewhere, for example in a container, name it:
qemu+unix:///system?socket=/path/to/libvirt-sock-ro
""",
    ),
    cfg.StrOpt(
        "key_file",
        default="/etc/membuddies/seal.key",
        help="""
File with the cloud's secret key, under which page ids are sealed before they
leave this node: 64 hexadecimal digits, mode 0600, the same on every compute
node. Make it once with "openssl rand -hex 32". The agent does not start without
it. To rotate the key replace the file on every node; each agent notices within
one report period and sends its fingerprints again under the new key. Until the
last node has the new file, no guest is moved.
""",
    ),
    cfg.IntOpt(
        "seed",
        default=0,
        min=0,
        max=2**64 - 1,
        help="""
Public seed of the page ids. It must be the same on every compute node, or
guests on different nodes never seem to share a page. Leave it at 0 unless
another program that hashes pages dictates one.
""",
    ),
    cfg.FloatOpt(
        "report_period_seconds",
        default=60.0,
        min=1.0,
        max=3600.0,
        mutable=True,
        help="""
How often the agent reports its host and guests to the controller. Each period
is varied by a tenth, so that the agents of a cloud do not speak at once.
A report is small; fingerprints follow only where the controller asks for them.
""",
    ),
    cfg.FloatOpt(
        "scan_interval_seconds",
        default=600.0,
        min=1.0,
        max=86400.0,
        mutable=True,
        help="""
How old a guest's fingerprint may become before its memory is read again. One
guest is read at a time, the oldest fingerprint first. Reading takes one core
about 0.4 seconds for each GiB of present memory: lower this if guests change
fast, raise it if the agent takes too much of a core.
""",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Make the options known to a configuration."""
    conf.register_opts(OPTIONS, group=GROUP)
