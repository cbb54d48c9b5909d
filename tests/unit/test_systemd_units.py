# SPDX-License-Identifier: Apache-2.0
"""The systemd units, as systemd's own tools judge them."""

import pathlib
import subprocess

import pytest

ETC = pathlib.Path(__file__).parents[2] / "etc"
UNITS = sorted((ETC / "systemd").glob("*.service"))
# systemd's scale goes from 0 to 100; the agent must see the memory of others.
EXPOSURE = {"agent": 27, "controller": 16, "rebalancer": 16}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_little_exposure(unit: pathlib.Path) -> None:
    threshold = EXPOSURE[unit.stem.removeprefix("membuddies-")]
    done = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=true",
            "--no-pager",
            f"--threshold={threshold}",
            unit,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_systemd_understands_every_line(tmp_path: pathlib.Path) -> None:
    units = tmp_path / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    programs = tmp_path / "usr" / "bin"
    programs.mkdir(parents=True)
    for name in ("kill", *(unit.stem for unit in UNITS)):
        (programs / name).touch(mode=0o755)
    for unit in UNITS:
        (units / unit.name).write_text(unit.read_text())
    for name in ("sysinit", "basic", "shutdown", "network-online", "multi-user"):
        (units / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    names = [unit.name for unit in UNITS]
    done = subprocess.run(
        ["systemd-analyze", "verify", f"--root={tmp_path}", "--man=no", *names],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_only_the_agent_has_capabilities(unit: pathlib.Path) -> None:
    settings = unit.read_text().splitlines()
    assert "ProtectSystem=strict" in settings
    bound = [line for line in settings if line.startswith("CapabilityBoundingSet=")]
    wanted = "CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_SYS_ADMIN"
    is_agent = unit.stem == "membuddies-agent"
    assert bound == [f"CapabilityBoundingSet={wanted if is_agent else ''}"]


def test_the_user_and_directories_are_as_systemd_expects(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "etc" / "membuddies").mkdir(parents=True)
    root = f"--root={tmp_path}"
    snippet = "membuddies.conf"
    for command in (
        ["systemd-sysusers", root, ETC / "sysusers.d" / snippet],
        ["systemd-tmpfiles", root, "--create", ETC / "tmpfiles.d" / snippet],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "membuddies:" in (tmp_path / "etc" / "passwd").read_text()
    assert (tmp_path / "etc/membuddies").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "var/lib/membuddies").stat().st_mode & 0o777 == 0o700
