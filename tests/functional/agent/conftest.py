# SPDX-License-Identifier: Apache-2.0
"""What the machine lends to these tests: KSM, huge pages, a libvirt."""

import fcntl
import pathlib
import tempfile

import pytest
from oslo_config import cfg

from membuddies_agent import reporter, scanner
from membuddies_nova.conf import agent, bus
from tests.functional.agent import ksm, libvirt_daemon

_HUGE_PAGES_LOCK = pathlib.Path("/tmp/membuddies-huge-pages.lock")
_HUGE_PAGES = pathlib.Path("/proc/sys/vm/nr_hugepages")


@pytest.fixture
def borrowed_ksm():
    with ksm.borrowed():
        yield ksm


@pytest.fixture
def huge_pages():
    """Enough huge pages for a guest of 64 MB, for one test of the machine at a time."""
    with _HUGE_PAGES_LOCK.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = _HUGE_PAGES.read_text()
        _HUGE_PAGES.write_text(str(int(before) + 40))
        assert int(_HUGE_PAGES.read_text()) >= int(before) + 32
        yield
        _HUGE_PAGES.write_text(before)


@pytest.fixture(scope="session")
def libvirt_daemon_for_all():
    # A socket's path must be short.
    with (
        tempfile.TemporaryDirectory(prefix="mb-libvirt-") as directory,
        libvirt_daemon.daemon(pathlib.Path(directory)) as daemon,
    ):
        yield daemon


@pytest.fixture
def libvirt(libvirt_daemon_for_all):
    """A libvirtd of our own without guests."""
    yield libvirt_daemon_for_all
    libvirt_daemon_for_all.destroy_all()


@pytest.fixture
def conf(tmp_path, transport_url, libvirt, monkeypatch):
    """An agent's options: all it does is done every second."""
    monkeypatch.setattr(reporter, "_FIRST_WITHIN_SECONDS", 0.1)
    monkeypatch.setattr(reporter, "_COALESCE_SECONDS", 0.1)
    monkeypatch.setattr(scanner, "_LOOK_SECONDS", 0.1)
    key_file = tmp_path / "key"
    key_file.write_text("ab" * 32)
    key_file.chmod(0o600)
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[])
    agent.register(conf)
    bus.register(conf)
    conf.set_override("host", "compute-1", agent.GROUP)
    conf.set_override("libvirt_uri", libvirt.uri, agent.GROUP)
    conf.set_override("key_file", str(key_file), agent.GROUP)
    conf.set_override("report_period_seconds", 1.0, agent.GROUP)
    conf.set_override("scan_interval_seconds", 1.0, agent.GROUP)
    conf.set_override("scan_interval_max_seconds", 1.0, agent.GROUP)
    conf.set_override("min_guest_age_seconds", 0.0, agent.GROUP)
    conf.set_override("transport_url", transport_url, bus.GROUP)
    conf.set_override("rpc_timeout_seconds", 5.0, bus.GROUP)
    return conf
