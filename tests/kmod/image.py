# SPDX-License-Identifier: Apache-2.0
"""What the guests boot: Debian's kernels, and a small system with a guest agent.

The system is an initial RAM file system of busybox, Debian's qemu-ga with its
libraries, and the drivers it needs; what else it shall hold, such as what
``make guest-deb`` packs, is given.
"""

import dataclasses
import pathlib
import re
import subprocess
import tempfile

from tests.cloud.lab.initramfs import Archive, add_installed

ROOT = pathlib.Path(__file__).parents[2]
_GUEST = ROOT / "build" / "guest"

_DRIVERS = ("virtio_pci", "virtio_console", "virtio_balloon")
_BUSYBOX = pathlib.Path("/bin/busybox")
_GUEST_AGENT = pathlib.Path("/usr/sbin/qemu-ga")
_INIT = pathlib.Path(__file__).with_name("guest-init.sh")
_PROGRAMS = pathlib.Path(__file__).with_name("programs")


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One of Debian's cloud kernels that is installed with its headers."""

    release: str

    @property
    def series(self) -> str:
        return ".".join(self.release.split(".")[:2])

    @property
    def image(self) -> pathlib.Path:
        return pathlib.Path("/boot") / f"vmlinuz-{self.release}"

    @property
    def module(self) -> pathlib.Path:
        """As it was built, before it was packed."""
        return _GUEST / self.release / "membuddies.ko"

    def drivers(self) -> list[pathlib.Path]:
        """Files of the drivers that are not built in, in the order to load them."""
        found: list[pathlib.Path] = []
        for driver in _DRIVERS:
            lines = subprocess.run(
                ["modprobe", "--show-depends", "--set-version", self.release, driver],
                check=True,
                capture_output=True,
                text=True,
            ).stdout.splitlines()
            paths = [line.split()[1] for line in lines if line.startswith("insmod")]
            found += [p for p in map(pathlib.Path, paths) if p not in found]
        return found


def kernels() -> dict[str, Kernel]:
    """The newest installed cloud kernel of each series, by series.

    :raises AssertionError: unless both series that the module is for are there
    """
    headers = pathlib.Path("/lib/modules").glob("*-cloud-amd64/build")
    found = [Kernel(path.parent.name) for path in headers]
    found.sort(key=lambda kernel: [int(n) for n in re.findall(r"\d+", kernel.release)])
    by_series = {kernel.series: kernel for kernel in found}
    assert by_series.keys() >= {"6.1", "6.12"}, "run `make guest-packages`"
    return by_series


def package() -> pathlib.Path:
    """Build modules and tracer, and pack them; the package for guests."""
    subprocess.run(
        ["make", "--silent", "--jobs=2", "-C", ROOT / "guest_kmod"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    done = subprocess.run(
        [ROOT / "tools" / "build-guest-deb.sh"],
        check=True,
        capture_output=True,
        text=True,
    )
    return pathlib.Path(done.stdout.strip())


def unpack(deb: pathlib.Path, directory: pathlib.Path) -> dict[str, pathlib.Path]:
    """A package's files, by their path in a guest."""
    subprocess.run(["dpkg-deb", "--extract", deb, directory], check=True)
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {f"/{path.relative_to(directory)}": path for path in files}


def libraries(program: pathlib.Path) -> list[pathlib.Path]:
    """The shared libraries that a program needs."""
    text = subprocess.run(
        ["ldd", program], check=True, capture_output=True, text=True
    ).stdout
    return [pathlib.Path(path) for path in re.findall(r"(/\S+) \(0x", text)]


def write(
    kernel: Kernel, path: pathlib.Path, files: dict[str, pathlib.Path] | None = None
) -> None:
    """Write the initial RAM file system for a kernel.

    :param files: to lie in it beside the system, by their path in the guest
    """
    with tempfile.TemporaryDirectory() as work, path.open("wb") as output:
        archive = Archive(output)
        archive.add_console()
        archive.add_file("/init", _INIT.read_bytes(), 0o755)
        add_installed(archive, [_BUSYBOX, _GUEST_AGENT, *libraries(_GUEST_AGENT)])
        for place, driver in enumerate(kernel.drivers()):
            name = f"/drivers/{place:02}-{driver.name}"
            archive.add_file(name, driver.read_bytes())
        for source in sorted(_PROGRAMS.glob("*.c")):
            program = pathlib.Path(work) / source.stem
            _compile(source, program)
            archive.add_file(f"/usr/bin/{source.stem}", program.read_bytes(), 0o755)
        for name, file in (files or {}).items():
            archive.add_file(name, file.read_bytes(), file.stat().st_mode & 0o777)
        archive.end()


def _compile(source: pathlib.Path, program: pathlib.Path) -> None:
    flags = ["-static", "-O2", "-s", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *flags, "-o", program, source], check=True)
