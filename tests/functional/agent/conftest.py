# SPDX-License-Identifier: Apache-2.0
"""What the machine lends to these tests: KSM and a few huge pages."""

import pathlib
import tempfile

import pytest

from tests.functional.agent import ksm, libvirt_daemon

_HUGE_PAGES = pathlib.Path("/proc/sys/vm/nr_hugepages")


@pytest.fixture
def borrowed_ksm():
    with ksm.borrowed():
        yield ksm


@pytest.fixture
def huge_pages():
    """Enough huge pages for a guest of 64 MB."""
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
