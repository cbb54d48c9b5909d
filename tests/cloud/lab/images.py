# SPDX-License-Identifier: Apache-2.0
"""What guests boot: Debian's cloud kernel and a root file system of real files.

Two base systems and a few roles.  A guest's memory holds the files of its base and
of its role, taken from Debian packages installed on this machine, as the page cache
of a real server would: guests of one role share nearly all of it, guests of one base
share the base.  Built once into ``build/images``; the name holds a digest of what
went in.
"""

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError
from .initramfs import Archive, add_installed
from .layout import PROJECT_ROOT

IMAGES = PROJECT_ROOT / "build" / "images"

# Packages whose files fill the memory, taken in this order.
BASES = {
    "debian-12": ("libc6", "bash", "coreutils", "util-linux", "systemd", "libssl3"),
    "debian-12-slim": ("libc6", "perl-base", "dpkg", "apt", "libstdc++6"),
}
ROLES = {
    "web": (
        *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib"),
        *("openssl", "curl", "libicu72"),
    ),
    "database": ("mariadb-server-core", "mariadb-client-core"),
    "queue": ("erlang-base", "rabbitmq-server", "erlang-ssl"),
    "build": ("gcc-12", "cpp-12", "binutils-x86-64-linux-gnu"),
}
# The archive and what is unpacked of it are in memory at once at boot.
_ROLE_LIMIT_MB = 64
_BASE_LIMIT_MB = 30
_DOCUMENTATION = ("/usr/share/doc", "/usr/share/man", "/usr/share/locale")
_BUSYBOX = Path("/bin/busybox")
_INIT = Path(__file__).with_name("guest-init.sh")


@dataclass(frozen=True)
class GuestImage:
    """An image: a role on a base.

    ``churn_mb_per_minute`` is how much of ``private_mb``, the memory that no other
    guest has, the guest overwrites all the time.
    """

    role: str
    base: str = "debian-12"
    private_mb: int = 8
    churn_mb_per_minute: int = 0

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise LabError(f"no role {self.role!r}; there are {', '.join(ROLES)}")
        if self.base not in BASES:
            raise LabError(f"no base {self.base!r}; there are {', '.join(BASES)}")

    @property
    def name(self) -> str:
        """The name in Glance."""
        parts = [self.base, self.role]
        if self.private_mb != GuestImage.private_mb:
            parts.append(f"private{self.private_mb}")
        if self.churn_mb_per_minute:
            parts.append(f"churn{self.churn_mb_per_minute}")
        return "-".join(parts)

    @property
    def command_line(self) -> str:
        """The kernel's command line."""
        return " ".join(
            [
                "console=ttyS0 quiet panic=1",
                # An emulated timer under load makes the kernel panic otherwise.
                "no_timer_check",
                # A file system in memory without tmpfs's limit of half of it.
                "rootfstype=ramfs",
                # What the boot used and gave back is zero, not remains of files.
                "init_on_free=1",
                f"private_mb={self.private_mb}",
                f"churn_mb_per_minute={self.churn_mb_per_minute}",
            ]
        )


@dataclass(frozen=True)
class BlankImage:
    """An image without a system: its guests' firmware finds nothing, and idles.

    For guests that only need to be placed; it calls itself a release of its own.
    """

    name: str


@dataclass(frozen=True)
class SnapshotImage:
    """An image that Nova has made of a guest; it is in Glance already."""

    name: str


def kernel() -> Path:
    """The newest installed cloud kernel of Debian 12's own series."""
    name = "vmlinuz-6.1.*-cloud-amd64"
    kernels = sorted(Path("/boot").glob(name), key=os.path.getmtime)
    if not kernels:
        raise LabError(f"no /boot/{name}: run `make packages`")
    return kernels[-1]


def disk() -> Path:
    """The root disk: Nova wants one, the guest never looks at it."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    path = IMAGES / "empty-disk.raw"
    path.write_bytes(bytes(2**20))
    return path


def ramdisk(image: GuestImage) -> Path:
    """The initial RAM file system of a base and a role, built when it is missing."""
    base_packages, role_packages = BASES[image.base], ROLES[image.role]
    recipe = [_versions(base_packages + role_packages), _INIT.read_text()]
    recipe += [Path(__file__).read_text()]
    digest = hashlib.sha256("\0".join(recipe).encode()).hexdigest()[:12]
    path = IMAGES / f"{image.base}-{image.role}-{digest}.cpio"
    if path.exists():
        return path
    IMAGES.mkdir(parents=True, exist_ok=True)
    # A name of its own until it is whole: two labs may build at once.
    unfinished = path.with_suffix(f".{os.getpid()}")
    base_files = _files(base_packages, _BASE_LIMIT_MB)
    role_files = _files(role_packages, _ROLE_LIMIT_MB)
    with unfinished.open("wb") as output:
        archive = Archive(output)
        archive.add_console()
        archive.add_file("/init", _INIT.read_bytes(), 0o755)
        archive.add_file("/bin/busybox", _BUSYBOX.read_bytes(), 0o755)
        add_installed(archive, base_files)
        add_installed(archive, [file for file in role_files if file not in base_files])
        archive.end()
    unfinished.rename(path)
    return path


def _versions(packages: tuple[str, ...]) -> str:
    command = ["dpkg-query", "--show", *packages]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise LabError(f"{done.stderr.strip()}: run `make packages`")
    return done.stdout


def _files(packages: tuple[str, ...], limit_mb: int) -> list[Path]:
    """The packages' regular files, in the packages' order, up to a sum of sizes."""
    files: list[Path] = []
    left_bytes = limit_mb * 2**20
    for package in packages:
        listed = subprocess.run(
            ["dpkg-query", "--listfiles", package],
            capture_output=True,
            text=True,
            check=True,
        )
        for name in sorted(listed.stdout.splitlines()):
            path = Path(name)
            if name.startswith(_DOCUMENTATION) or path.is_symlink():
                continue
            if not path.is_file() or path == _BUSYBOX:
                continue
            size_bytes = path.stat().st_size
            if size_bytes <= left_bytes:
                left_bytes -= size_bytes
                files.append(path)
    return files
