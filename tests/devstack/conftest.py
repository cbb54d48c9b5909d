# SPDX-License-Identifier: Apache-2.0
"""What a DevStack node finds: a database, a broker, Keystone, our repository."""

import os
import pathlib
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.devstack.keystone import PASSWORD, Keystone
from tests.devstack.node import Node, clone
from tests.functional.services import MariaDB, RabbitMQ

KEY = "0123456789abcdef" * 4


class DevstackRabbitMQ(RabbitMQ):
    """A broker that also listens where DevStack expects it: on port 5672.

    :ivar host: an address of the loopback interface that is its own
    """

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(directory)
        octets = (str(random.randint(2, 250)) for _ in range(3))
        self.host = ".".join(["127", *octets])
        configuration = directory / "rabbitmq" / "rabbitmq.conf"
        with configuration.open("a") as file:
            file.write(f"listeners.tcp.2 = {self.host}:5672\n")

    @property
    def control(self) -> dict[str, str]:
        """The environment in which rabbitmqctl finds this broker."""
        names = ("ERL_EPMD_PORT", "RABBITMQ_NODENAME", "RABBITMQ_CONF_ENV_FILE")
        cookie = pathlib.Path(self._environment["HOME"], ".erlang.cookie")
        # With threads that do not wait busily rabbitmqctl starts faster.
        threads = "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
        erlang = f"{threads} -setcookie {cookie.read_text().strip()}"
        own = {"RABBITMQ_CTL_ERL_ARGS": erlang, "LANG": "C.UTF-8"}
        return own | {name: self._environment[name] for name in names}


@pytest.fixture(scope="session")
def devstack_directory() -> pathlib.Path:
    """The DevStack tree to run against."""
    named = os.environ.get("DEVSTACK_DIR")
    if not named:
        pytest.fail("DEVSTACK_DIR must name a DevStack tree")
    directory = pathlib.Path(named).resolve()
    if not (directory / "functions-common").is_file():
        pytest.fail(f"DEVSTACK_DIR={named}: there is no DevStack tree")
    return directory


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return clone(tmp_path_factory.mktemp("plugin"))


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    with MariaDB(tmp_path_factory.mktemp("database")) as server:
        server.execute(f"CREATE USER stack@localhost IDENTIFIED BY '{PASSWORD}'")
        server.execute("GRANT ALL ON *.* TO stack@localhost")
        server.execute(f"CREATE USER stack@127.0.0.1 IDENTIFIED BY '{PASSWORD}'")
        server.execute("GRANT ALL ON *.* TO stack@127.0.0.1")
        yield server


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevstackRabbitMQ]:
    with DevstackRabbitMQ(tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture(scope="session")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    with Keystone(tmp_path_factory.mktemp("identity")) as server:
        yield server


@pytest.fixture(scope="session")
def settings(
    database: MariaDB, broker: DevstackRabbitMQ, keystone: Keystone
) -> dict[str, str]:
    """local.conf of a controller that also runs guests."""
    password = PASSWORD
    return {
        "ADMIN_PASSWORD": password,
        "DATABASE_PASSWORD": password,
        "SERVICE_PASSWORD": password,
        "RABBIT_PASSWORD": password,
        "HOST_IP": broker.host,
        "SERVICE_HOST": broker.host,
        "MYSQL_HOST": "127.0.0.1",
        "MYSQL_USER": "stack",
        "BASE_SQL_CONN": f"mysql+pymysql://stack:{password}@127.0.0.1:{database.port}",
        "MYSQL_GATHER_PERFORMANCE": "False",
        "KEYSTONE_SERVICE_HOST": keystone.host,
        "KEYSTONE_SERVICE_PROTOCOL": "http",
        "STACK_USER": "root",
        "PYTHON3_VERSION": "3.11",
        "LOG_COLOR": "False",
        "ENABLE_KSMTUNED": "False",
        "ENABLED_SERVICES": "key,n-api,n-cpu,n-cond,n-sch,placement-api,"
        "placement-client,rabbit,mysql",
    }


MakeNode = Callable[[dict[str, str]], Node]


@pytest.fixture(scope="module")
def make_node(
    tmp_path_factory: pytest.TempPathFactory,
    devstack_directory: pathlib.Path,
    plugin: pathlib.Path,
    database: MariaDB,
    broker: DevstackRabbitMQ,
) -> Iterator[MakeNode]:
    """Makes a node with these settings in its local.conf."""
    with ExitStack() as stack:

        def make(settings: dict[str, str]) -> Node:
            directory = tmp_path_factory.mktemp("node")
            environment = broker.control | {"MYSQL_TCP_PORT": str(database.port)}
            node = Node(directory, devstack_directory, plugin, environment)
            node.configure(settings)
            return stack.enter_context(node)

        yield make
