# SPDX-License-Identifier: Apache-2.0
"""Real services for tests: each started once, when the first test wants it."""

import itertools

import pytest

from membuddies_nova.db import schema
from membuddies_nova.db.api import Database
from tests.functional.services import MariaDB, RabbitMQ

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory):
    """A MariaDB; a test that stops it starts it again."""
    with MariaDB(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory):
    """A RabbitMQ; a test that stops it starts it again."""
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker


@pytest.fixture
def transport_url(rabbitmq):
    """A virtual host of the test's own."""
    vhost = f"test-{next(_numbers)}"
    yield rabbitmq.create_vhost(vhost)
    rabbitmq.delete_vhost(vhost)


@pytest.fixture
def mariadb_url(mariadb):
    """An empty database of the test's own on MariaDB."""
    name = f"test_{next(_numbers)}"
    yield mariadb.create_database(name)
    mariadb.drop_database(name)


@pytest.fixture(params=["sqlite", "mariadb"])
def database_url(request, tmp_path):
    """An empty database of the test's own: the test runs on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'membuddies.sqlite'}"
    return request.getfixturevalue("mariadb_url")


@pytest.fixture
def database(database_url):
    """A freshly migrated Database at ``database_url``."""
    database = Database(database_url)
    schema.upgrade(database)
    yield database
    database.close()
