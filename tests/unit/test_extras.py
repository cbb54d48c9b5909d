# SPDX-License-Identifier: Apache-2.0
"""What each extra brings, and what it must leave alone."""

import configparser
import pathlib
import re
import subprocess
import sys

import pytest
from packaging import requirements, utils

ROOT = pathlib.Path(__file__).parents[2]

# As if the installation had no cotyledon, which oslo.service[threading] brings.
_WITHOUT_SERVICES = """
import sys
sys.modules["cotyledon"] = None
import membuddies_nova.cmd.{name}
"""


@pytest.mark.parametrize("name", ["agent", "controller", "rebalancer"])
def test_a_service_without_its_extra_says_what_to_install(name):
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _WITHOUT_SERVICES.format(name=name)],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "membuddies-nova[agent]" in ended.stderr.splitlines()[-1]


# Nova's environment: as it is pinned here, and as its oldest supported release is.
ENVIRONMENTS = [ROOT / "requirements" / name for name in ("lock.txt", "oldest.txt")]


@pytest.mark.parametrize("lock", ENVIRONMENTS, ids=lambda path: path.stem)
def test_the_scheduler_extra_changes_no_package_in_novas_environment(lock):
    """pip leaves an installed package alone if it satisfies what is asked for."""
    ours = configparser.ConfigParser()
    ours.read(ROOT / "setup.cfg")
    asked = [
        requirements.Requirement(line)
        for line in (
            ours["options"]["install_requires"]
            + ours["options.extras_require"]["scheduler"]
        ).splitlines()
        if line
    ]
    assert {one.name for one in asked} >= {"oslo.messaging", "xxhash"}
    installed = dict(re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE))
    for one in asked:
        version = installed[utils.canonicalize_name(one.name)]
        assert one.specifier.contains(version), f"{one} would replace {version}"
        # What it needs was resolved together with Nova, at the same versions.
        assert not one.extras
