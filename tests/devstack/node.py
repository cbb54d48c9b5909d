# SPDX-License-Identifier: Apache-2.0
"""A machine for DevStack to work on: this one, with what it writes kept apart.

In a mount namespace of its own, /etc and /usr/local are overlays, so that DevStack
uses its real paths and a test sees exactly what was written. Python packages come
from the project's own virtual environment, which is mounted read-only, without
this project; pip has no index, so that it can install nothing else.

What is replaced, as there is no systemd: ``systemctl``, which remembers what was
enabled and started; and ``sudo``, as tests run as root.
"""

import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Self

ROOT = pathlib.Path(__file__).parents[2]
_PHASES = pathlib.Path(__file__).with_name("phases.sh")
_VENV = pathlib.Path(sys.prefix)
_PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"
_OURS = ("membuddies", "__editable__", "__pycache__")

_SUDO = """\
#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
exec env "$@"
"""
# Debian's own would become another user, who may not read this broker's files.
_RABBITMQCTL = """\
#!/bin/sh
exec /usr/lib/rabbitmq/bin/rabbitmqctl "$@"
"""
_SYSTEMCTL = """\
#!/bin/sh
# Remembers units as files: there is one named UNIT.enabled, or UNIT.started.
units=@UNITS@
echo "$*" >> $units/calls
case $1 in
    enable) touch "$units/$2.enabled" ;;
    disable) rm -f "$units/$2.enabled" ;;
    start) touch "$units/$2.started" ;;
    stop) rm -f "$units/$2.started" ;;
    is-enabled) [ -e "$units/$2.enabled" ] ;;
esac
"""
_EDIT_CONSTRAINTS = """\
#!/bin/sh
# OpenStack's tool of this name, as far as DevStack uses it: FILE -- PACKAGE
[ -n "$3" ] || exit 2
sed -i "/^$3==/d" "$1"
echo "$3" >> "$1.edited"
"""


class Node:
    """One machine with a copy of DevStack.

    :param directory: empty; everything that is written ends up in it
    :param devstack: the DevStack tree
    :param plugin: a git repository with this project
    :param environment: what programs shall find in theirs
    :ivar etc: what was written to /etc
    :ivar destination: DevStack's ``DEST``
    :ivar venv: DevStack's ``DEVSTACK_VENV``
    :ivar log: what DevStack printed last
    """

    def __init__(
        self,
        directory: pathlib.Path,
        devstack: pathlib.Path,
        plugin: pathlib.Path,
        environment: Mapping[str, str],
    ) -> None:
        self.directory = directory
        self.log = ""
        self.etc = directory / "etc"
        self.destination = directory / "stack"
        self.venv = self.destination / "data" / "venv"
        self._top = directory / "devstack"
        self._units = directory / "units"
        self._plugin = plugin
        programs = directory / "programs"
        for made in (self.etc, self._units, programs):
            made.mkdir()
        shutil.copytree(devstack, self._top, symlinks=True)
        _program(programs / "sudo", _SUDO)
        _program(
            programs / "systemctl", _SYSTEMCTL.replace("@UNITS@", str(self._units))
        )
        _program(programs / "rabbitmqctl", _RABBITMQCTL)
        (programs / "openstack").symlink_to(_VENV / "bin" / "openstack")
        packages = directory / "packages"
        _link_packages(packages)
        _make_venv(self.venv, packages)
        _make_venv(directory / "local", packages)
        self._write_requirements()
        self._environment = {
            "HOME": str(directory),
            "PATH": f"{programs}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM": "dumb",
            "USER": "root",
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            # The C extension is built on every node, and used on none.
            "CFLAGS": "-O0",
            **environment,
        }

    def __enter__(self) -> Self:
        work = self.directory / "work"
        local = self.directory / "local"
        mounts = [f"mount --bind {_VENV} {_VENV}", f"mount -o remount,bind,ro {_VENV}"]
        for name, lower in (("etc", "/etc"), ("usr-local", f"{local}:/usr/local")):
            upper = self.directory / name
            upper.mkdir(exist_ok=True)
            (work / name).mkdir(parents=True)
            target = lower.rpartition(":")[2]
            mounts.append(
                f"mount -t overlay overlay -o lowerdir={lower},upperdir={upper},"
                f"workdir={work / name} {target}"
            )
        script = " && ".join([*mounts, "echo ready", "exec sleep infinity"])
        apart = ["unshare", "--mount", "sh", "-c", script]
        self._holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *apart],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_error: object) -> None:
        self._holder.kill()
        self._holder.communicate()

    def command(self, *arguments: str) -> list[str]:
        """A command line that runs on this machine."""
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", *arguments]

    def run(
        self, *arguments: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on this machine; its output is in the error if it fails."""
        done = subprocess.run(
            self.command(*arguments),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout[-5000:]
        return done

    def configure(self, settings: Mapping[str, str]) -> None:
        """Write local.conf: the plugin's line and these settings, nothing else."""
        lines = [f"{name}={value}" for name, value in settings.items()]
        (self._top / "local.conf").write_text(
            "\n".join(
                [
                    "[[local|localrc]]",
                    f"DEST={self.destination}",
                    f"DATA_DIR={self.destination / 'data'}",
                    f"enable_plugin membuddies-nova file://{self._plugin}",
                    *lines,
                    "",
                ]
            )
        )

    def devstack(
        self, mode: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run our phases of ``stack``, ``unstack`` or ``clean``."""
        done = self.run("bash", str(_PHASES), str(self._top), mode, check=check)
        self.log = done.stdout
        return done

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a program on this machine."""
        return subprocess.Popen(
            self.command(*arguments),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def units(self, state: str) -> set[str]:
        """Our units that are ``enabled`` or ``started``, without their prefix."""
        suffix = f".service.{state}"
        return {
            path.name.removeprefix("devstack@").removesuffix(suffix)
            for path in self._units.glob(f"devstack@membuddies-*{suffix}")
        }

    def written(self) -> list[str]:
        """Every file with our name that lies on this machine now."""
        found = []
        for place in (self.etc, self.directory / "usr-local", self.venv):
            found += [
                str(path.relative_to(self.directory))
                for path in place.rglob("*membuddies*")
                # An overlay keeps a device 0, 0 for what was removed.
                if not path.is_char_device()
            ]
        return sorted(found)

    def _write_requirements(self) -> None:
        """The clone of openstack/requirements that DevStack makes."""
        requirements = self.destination / "requirements"
        tools = requirements / ".venv" / "bin"
        tools.mkdir(parents=True)
        _program(tools / "edit-constraints", _EDIT_CONSTRAINTS)
        lock = (ROOT / "requirements" / "lock.txt").read_text()
        pins = [line for line in lock.splitlines() if line[:1].isalpha()]
        constraints = "\n".join([*pins, "membuddies-nova==0.0.1", ""])
        (requirements / "upper-constraints.txt").write_text(constraints)


def _program(path: pathlib.Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _link_packages(directory: pathlib.Path) -> None:
    """Everything that the project's environment holds but the project."""
    directory.mkdir()
    source = _VENV / "lib" / _PYTHON / "site-packages"
    for entry in source.iterdir():
        if not entry.name.startswith(_OURS):
            (directory / entry.name).symlink_to(entry)


def _make_venv(directory: pathlib.Path, packages: pathlib.Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", directory], check=True
    )
    site = directory / "lib" / _PYTHON / "site-packages"
    (site / "packages.pth").write_text(
        f"import site; site.addsitedir({str(packages)!r})\n"
    )
    _program(
        directory / "bin" / "pip",
        f"#!{directory}/bin/python\nimport sys\n"
        "from pip._internal.cli.main import main\nsys.exit(main())\n",
    )


def clone(directory: pathlib.Path) -> pathlib.Path:
    """A git repository with the project as it lies here, committed or not."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in listed.split("\0"):
        source = ROOT / name
        if name and source.is_file():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    git = ["git", "-C", os.fspath(directory), *identity]
    subprocess.run([*git, "init", "-q", "-b", "master"], check=True)
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "test"], check=True)
    return directory
