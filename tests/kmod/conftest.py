# SPDX-License-Identifier: Apache-2.0
"""The guests of these tests: each is booted once, when the first test wants it."""

import itertools
import pathlib
import tempfile

import pytest

from tests.functional.agent import libvirt_daemon
from tests.kmod import guest as guests
from tests.kmod import image

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def daemon():
    """A libvirtd of our own."""
    # A socket's path must be short.
    with (
        tempfile.TemporaryDirectory(prefix="mb-kmod-") as directory,
        libvirt_daemon.daemon(pathlib.Path(directory)) as one,
    ):
        yield one


@pytest.fixture(scope="session")
def kernels():
    """Debian's kernels by series."""
    return image.kernels()


@pytest.fixture(scope="session")
def package(kernels):
    """The package for guests, with the module for each of the kernels."""
    return image.package()


@pytest.fixture(scope="session")
def packed(package, tmp_path_factory):
    """The package's files, by their path in a guest."""
    return image.unpack(package, tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="session")
def content(tmp_path_factory):
    """A file of eight pages, each of its own content."""
    file = tmp_path_factory.mktemp("content") / "pages"
    file.write_bytes(b"".join(page_of(number) for number in range(8)))
    return file


def page_of(number: int) -> bytes:
    return (b"page %3d of a file of the tests\n" % number) * 128


@pytest.fixture(scope="session")
def booting(daemon, kernels, packed, content, tmp_path_factory):
    """Guests with the package, by what they are: all begin to boot at one time."""
    files = {"/content/once": content, "/content/twice": content} | packed
    started = {}
    for name, series, words in (
        ("6.1", "6.1", ""),
        ("6.12", "6.12", ""),
        ("locked", "6.1", "lockdown=integrity"),
    ):
        initrd = tmp_path_factory.mktemp("guest") / "initrd"
        image.write(kernels[series], initrd, files)
        uuid = f"6f0c2f3e-0000-4000-8000-0000000f{next(_numbers):04x}"
        started[name] = guests.boot(daemon, uuid, kernels[series].image, initrd, words)
    return started


@pytest.fixture(scope="session")
def booted(booting):
    """Gives the guest of a name once its guest agent answers."""

    def booted(name):
        booting[name].await_boot()
        return booting[name]

    return booted


@pytest.fixture(scope="session", params=["6.1", "6.12"])
def guest(request, booted):
    """A guest with the package, on each kernel."""
    return booted(request.param)
