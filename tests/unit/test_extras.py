# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import pytest

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
