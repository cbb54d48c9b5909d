# SPDX-License-Identifier: Apache-2.0
"""Nova as its scheduler sets it up, without its database."""

import nova.conf
import pytest
from nova.scheduler import host_manager as host_manager_module
from oslo_config import fixture

from membuddies_nova.conf import bus, scheduler
from membuddies_nova.scheduler import local_board, recent


@pytest.fixture
def nova_conf():
    """Nova's configuration with our options in it, reset afterwards."""
    conf = nova.conf.CONF
    conf([], default_config_files=[])
    bus.register(conf)
    scheduler.register(conf)
    with fixture.Config(conf) as config:
        yield config


@pytest.fixture
def boards(nova_conf, monkeypatch):
    """This process's copy of the board; no thread refreshes it here."""
    boards = local_board.LocalBoard(nova_conf.conf)
    monkeypatch.setattr(boards, "start", lambda: None)
    monkeypatch.setattr(local_board, "shared", lambda: boards)
    return boards


@pytest.fixture
def memory(monkeypatch):
    """What requests told, as in a process that has just been started."""
    memory = recent.RecentRequests()
    monkeypatch.setattr(recent, "shared", lambda: memory)
    return memory


@pytest.fixture
def host_manager(nova_conf, monkeypatch):
    """Nova's own HostManager, without its database: makes and asks its filters.

    Called with our filters' classes, and the names of those of Nova's to enable.
    """

    def make(*classes, novas=()):
        nova_conf.config(
            available_filters=["nova.scheduler.filters.all_filters", *classes],
            enabled_filters=[*novas, *(name.rpartition(".")[2] for name in classes)],
            group="filter_scheduler",
        )
        for name in ("refresh_cells_caches", "_init_aggregates", "_init_instance_info"):
            monkeypatch.setattr(host_manager_module.HostManager, name, lambda _: None)
        return host_manager_module.HostManager()

    return make
