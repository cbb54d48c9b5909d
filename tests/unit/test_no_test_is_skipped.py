# SPDX-License-Identifier: Apache-2.0
import pathlib

import pytest

CONFTEST = pathlib.Path(__file__).parents[1] / "conftest.py"

pytest_plugins = "pytester"


@pytest.mark.parametrize("processes", [0, 2])
@pytest.mark.parametrize(
    "line", ["pytest.skip('never')", "pytest.xfail('never')", "assert True"]
)
def test_a_run_in_which_a_test_does_not_run_fails(pytester, line, processes):
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makepyfile(f"import pytest\ndef test_one():\n    {line}\n")
    result = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-n", str(processes)
    )
    assert result.ret == (0 if line == "assert True" else 1)
