# SPDX-License-Identifier: Apache-2.0
"""A test that does not run is no test: a skipped one fails the whole run."""

import hypothesis
import pytest

# How long an example takes tells of the machine, not of the code.
hypothesis.settings.register_profile("membuddies", deadline=None)
hypothesis.settings.load_profile("membuddies")

_NOT_RUN = ("skipped", "xfailed", "xpassed")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        # One of several processes, which report to the one that has it.
        return
    not_run = [len(reporter.stats.get(kind, ())) for kind in _NOT_RUN]
    if any(not_run) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for kind in _NOT_RUN:
        for report in terminalreporter.stats.get(kind, ()):
            terminalreporter.write_line(f"NOT RUN ({kind}): {report.nodeid}")
