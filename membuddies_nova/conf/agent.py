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
        "fingerprint_source",
        default="host",
        choices=[
            ("host", "the agent reads guests' memory; nothing is installed in them"),
            ("guest", "each guest samples its own memory when the agent asks it"),
            ("auto", "host if the agent has the capabilities for it, else guest"),
        ],
        help="""
Who reads a guest's memory for its fingerprint. Leave it at host unless hosts must
not read guest memory: guests need the package membuddies-guest and
hw_qemu_guest_agent=yes on their image, and the agent must be allowed to write to
libvirt's socket. The extra spec membuddies:fingerprint_source of a flavor, with
the same values, overrides this for its guests; so does the image property
membuddies_fingerprint_source=guest for those of an image.
""",
    ),
    cfg.StrOpt(
        "guest_agent_uri",
        default="",
        sample_default="<libvirt_uri>",
        help="""
The libvirt daemon again, for a read-write connection, which the agent opens only
to talk to the QEMU guest agent of a guest whose fingerprint_source is guest. Set
it where libvirt_uri names a read-only socket, for example:
qemu+unix:///system?socket=/path/to/libvirt-sock
""",
    ),
    cfg.IntOpt(
        "guest_trace_seconds",
        default=120,
        min=1,
        max=86400,
        mutable=True,
        help="""
How long a guest whose fingerprint_source is guest may take to sample its memory
before it is given up until its next turn. One such guest is asked at a time. A
guest looks at 512 MB a second at most: raise this for guests above 32 GB, or whose
processors are slow.
""",
    ),
    cfg.StrOpt(
        "key_file",
        default="/etc/membuddies/seal.key",
        help="""
File with the cloud's secret key, under which page ids are sealed before they
leave this node: 64 hexadecimal digits, mode 0600, the same on every compute
node and controller. Make it once with "openssl rand -hex 32". The agent does not
start without it. While the key is changed the file holds two lines, the new key
first: give it to the controllers, then to every compute node. Each agent notices
within one report period and sends its fingerprints again under the first key.
Until the last node has the new file, no guest is moved.
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
        "scan_core_share",
        default=0.1,
        min=0.001,
        max=1.0,
        mutable=True,
        help="""
How much of one core's time all scans together may take, as a fraction: 0.1 is a
tenth of one core, whatever the number of guests. Hashing takes about 0.4 core
seconds for each GiB of present memory, so a tenth of a core gets around 256 GiB
of guests in about 17 minutes. Raise it if "membuddies guest list" shows
fingerprints older than scan_interval_max_seconds; lower it if guests need the
core more than fresh fingerprints.
""",
    ),
    cfg.IntOpt(
        "scan_mb_per_second",
        default=256,
        min=1,
        max=1_000_000,
        mutable=True,
        help="""
How many MB (2^20 bytes) of guest memory scans read in a second at most. It
bounds what scans take of the memory's bandwidth and of the caches that guests
share; whichever of this and scan_core_share is reached first holds. Lower it if
guests that are bound by memory slow down while they are scanned.
""",
    ),
    cfg.FloatOpt(
        "scan_interval_seconds",
        default=300.0,
        min=1.0,
        max=86400.0,
        mutable=True,
        help="""
Shortest time between two scans of a guest. A guest that changes fast is scanned
about this often, any other more rarely: the interval grows while less than a
twentieth of the guest's stable pages changes between two scans, and shrinks while
more does. One guest is read at a time, the oldest fingerprint first.
""",
    ),
    cfg.FloatOpt(
        "scan_interval_max_seconds",
        default=3600.0,
        min=1.0,
        max=86400.0,
        mutable=True,
        help="""
Longest time between two scans of a guest, however still it holds, if the budget
(scan_core_share, scan_mb_per_second) allows. Must not be below
scan_interval_seconds; make both equal to scan every guest at a fixed interval.
Keep it well below [controller] fingerprint_age_limit_seconds.
""",
    ),
    cfg.FloatOpt(
        "min_guest_age_seconds",
        default=120.0,
        min=0.0,
        max=86400.0,
        mutable=True,
        help="""
A guest whose QEMU started less than this long ago is not scanned, and reported
as too-young: while it boots hardly a page holds still. Until then it counts
with what guests of its image have in common. A guest that came by live migration
is never too young. Raise it if your guests take longer to start their services.
""",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Make the options known to a configuration."""
    conf.register_opts(OPTIONS, group=GROUP)
