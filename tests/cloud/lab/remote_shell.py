# SPDX-License-Identifier: Apache-2.0
"""SSH between compute hosts, by which Nova copies the disks of a cold migration.

One key serves all hosts of a lab, as root. Nothing of the machine's own SSH is read
or changed: each host has its own client configuration over the machine's.
"""

import subprocess
from pathlib import Path

from . import configuration
from .layout import Layout, Place
from .services import Service, Services

_PORT = 22

_CLIENT = """\
Host *
    IdentityFile {key}
    UserKnownHostsFile /dev/null
    StrictHostKeyChecking no
    LogLevel ERROR
"""
_SERVER = """\
ListenAddress {address}
HostKey {key}
AuthorizedKeysFile {key}.pub
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
PidFile none
Subsystem sftp internal-sftp
"""


def make_key(layout: Layout) -> None:
    """Makes the lab's key, before any of its hosts boots."""
    key = _key(layout)
    key.parent.mkdir(parents=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", layout.name, "-f"]
    subprocess.run([*command, str(key)], check=True)


def client_binds(layout: Layout, host: Place) -> dict[Path, Path]:
    """What a host's machine boots with, so that root there may enter the others."""
    text = _CLIENT.format(key=_key(layout))
    own = configuration.write(layout.data(host) / "ssh_config", text)
    return {own: Path("/etc/ssh/ssh_config")}


def start(layout: Layout, host: Place) -> None:
    """Lets the other hosts enter this one."""
    text = _SERVER.format(address=host.address, key=_key(layout))
    file = configuration.write(layout.data(host) / "sshd_config", text)
    # It separates its privileges in an empty directory of Debian's choice.
    argv = ("sh", "-c", f"mkdir -p /run/sshd && exec /usr/sbin/sshd -D -e -f {file}")
    Services(layout).start(Service(f"sshd-{host.key}", host.key, argv, port=_PORT))


def _key(layout: Layout) -> Path:
    return layout.root / "ssh" / "key"
