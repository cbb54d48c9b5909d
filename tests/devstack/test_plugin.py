# SPDX-License-Identifier: Apache-2.0
"""Our phases of DevStack on one controller, on another that restacks, on a subnode.

Each node is stacked once, because that takes minutes.
"""

import configparser
import json
import pathlib
import re
import shlex
import signal
from collections.abc import Mapping
from typing import NamedTuple

import pytest
import yaml
from keystoneauth1 import session
from keystoneauth1.identity import v3

from tests.devstack.conftest import KEY, MakeNode
from tests.devstack.node import Node
from tests.functional.services import MariaDB

# Slow machines take minutes for one node: DevStack starts hundreds of processes.
pytestmark = pytest.mark.timeout(1800)

FILTERS = (
    "membuddies_nova.scheduler.isolation.KsmIsolationFilter",
    "membuddies_nova.scheduler.pressure.MemoryPressureFilter",
)


class Seen(NamedTuple):
    """What Nova's own option handling makes of the nova.conf that was written.

    :ivar weighers: names of the classes that it loads
    :ivar filters: likewise, of those that it may enable
    """

    weighers: list[str]
    filters: list[str]
    enabled_filters: list[str]
    transport_url: str


_CLASSES = """\
import json
from membuddies_nova.conf import bus
from nova import config
from nova.conf import CONF
from nova.scheduler import filters, weights
config.parse_args(["nova-scheduler"])
bus.register(CONF)
handler = weights.HostWeightHandler()
found = handler.get_matching_classes(CONF.filter_scheduler.weight_classes)
known = filters.HostFilterHandler().get_matching_classes(
    CONF.filter_scheduler.available_filters)
print("RESULT", json.dumps([
    sorted(one.__name__ for one in found),
    sorted(one.__name__ for one in known),
    CONF.filter_scheduler.enabled_filters,
    CONF.membuddies.transport_url]))
"""


@pytest.fixture(scope="module")
def controller(make_node: MakeNode, settings: dict[str, str]) -> Node:
    """One node for everything, with DevStack's defaults, and our filters."""
    node = make_node(settings | {"MEMBUDDIES_FILTERS": ",".join(FILTERS)})
    node.devstack("stack")
    return node


@pytest.fixture(scope="module")
def seen(controller: Node) -> Seen:
    return _seen_by_nova(controller)


def test_every_service_runs_as_a_unit_of_devstack(controller: Node) -> None:
    services = {"membuddies-agent", "membuddies-controller", "membuddies-rebalancer"}
    assert controller.units("enabled") == services
    assert controller.units("started") == services


@pytest.mark.parametrize("service", ["controller", "rebalancer", "agent"])
def test_what_the_unit_starts_runs_and_ends_in_time(
    controller: Node, service: str
) -> None:
    unit = _ini(
        controller.etc / f"systemd/system/devstack@membuddies-{service}.service"
    )
    command = shlex.split(unit["Service"]["ExecStart"])
    process = controller.popen(*command)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if re.search(rf"membuddies-{service} \S+ runs", line):
            break
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 0, "".join(lines) + rest


def test_the_agent_alone_gets_capabilities_by_a_drop_in(controller: Node) -> None:
    units = controller.etc / "systemd" / "system"
    drop_in = units / "devstack@membuddies-agent.service.d" / "capabilities.conf"
    service = _ini(drop_in)["Service"]
    wanted = "CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_SYS_ADMIN"
    assert service["AmbientCapabilities"] == wanted
    assert service["CapabilityBoundingSet"] == wanted
    assert [path.parent.name for path in units.glob("*membuddies*/*")] == [
        "devstack@membuddies-agent.service.d"
    ]


def test_nova_loads_the_weigher_beside_all_of_its_own(seen: Seen) -> None:
    assert "SharingWeigher" in seen.weighers
    assert {"RAMWeigher", "CPUWeigher", "IoOpsWeigher"} < set(seen.weighers)


def test_our_filters_are_added_to_those_that_nova_has(seen: Seen) -> None:
    ours = [name.rpartition(".")[2] for name in FILTERS]
    assert set(seen.enabled_filters) < set(seen.filters)
    assert "AggregateMultiTenancyIsolation" in seen.filters
    assert seen.enabled_filters[-2:] == ours
    assert "ComputeFilter" in seen.enabled_filters


def test_the_rebalancer_hears_that_tenants_are_kept_apart(controller: Node) -> None:
    ours = _ini(controller.etc / "membuddies" / "membuddies.conf")
    assert ours["rebalancer"]["ksm_isolation"] == "True"


def test_services_and_scheduler_use_the_vhost_of_their_own(
    controller: Node, seen: Seen
) -> None:
    url = seen.transport_url
    assert url.endswith(":5672/membuddies")
    ours = _ini(controller.etc / "membuddies" / "membuddies.conf")
    assert ours["membuddies"]["transport_url"] == url
    nova = _ini(controller.etc / "nova" / "nova.conf")
    assert nova["DEFAULT"]["transport_url"].endswith(":5672/")


def test_the_superconductor_does_not_track_instance_changes(controller: Node) -> None:
    nova = _ini(controller.etc / "nova" / "nova.conf")
    assert nova["filter_scheduler"]["track_instance_changes"] == "False"


def test_the_tables_are_made(controller: Node, database: MariaDB) -> None:
    tables = database.execute("SHOW TABLES FROM membuddies")
    assert ("alembic_version",) in tables
    assert len(tables) > 5


def test_configuration_and_key_are_for_their_owner_only(controller: Node) -> None:
    directory = controller.etc / "membuddies"
    for name in ("membuddies.conf", "seal.key"):
        assert (directory / name).stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(r"[0-9a-f]{64}\n", (directory / "seal.key").read_text())
    options = _ini(directory / "membuddies.conf")
    for section in ("agent", "controller"):
        assert options[section]["key_file"].endswith("/membuddies/seal.key")


def test_the_key_stands_in_no_log(controller: Node) -> None:
    key = (controller.etc / "membuddies" / "seal.key").read_text().strip()
    assert "_membuddies_write_seal_key" in controller.log
    assert key not in controller.log


@pytest.mark.parametrize(
    ("section", "role"), [("inventory", "reader"), ("rebalancer", "admin")]
)
def test_each_service_has_a_credential_with_one_role(
    controller: Node, section: str, role: str
) -> None:
    options = _ini(controller.etc / "membuddies" / "membuddies.conf")[section]
    assert options["auth_type"] == "v3applicationcredential"
    login = v3.ApplicationCredential(
        auth_url=options["auth_url"],
        application_credential_id=options["application_credential_id"],
        application_credential_secret=options["application_credential_secret"],
    )
    access = login.get_access(session.Session())
    # An administrator is a reader, too, but no reader an administrator.
    assert role in access.role_names
    assert ("admin" in access.role_names) == (role == "admin")
    policy = _policies(controller, "nova")
    readers = f"project_id:{access.project_id})"
    assert all(readers in rule for rule in policy.values())


@pytest.mark.parametrize("service", ["nova", "placement"])
def test_policies_only_widen_the_service_s_own_defaults(
    controller: Node, service: str
) -> None:
    from nova import policies as nova_policies
    from placement import policies as placement_policies

    known = {"nova": nova_policies, "placement": placement_policies}[service]
    defaults = {rule.name: rule.check_str for rule in known.list_rules()}
    written = _policies(controller, service)
    assert written
    for name, rule in written.items():
        default, _, ours = rule.partition(" or (")
        assert default == defaults[name], name
        assert re.fullmatch(r"role:reader and project_id:[0-9a-f]{32}\)", ours)


def test_nothing_but_the_project_is_installed(controller: Node) -> None:
    site = controller.venv / "lib" / "python3.11" / "site-packages"
    names = {path.name for path in site.iterdir()} - {"__pycache__", "packages.pth"}
    assert all("membuddies" in name for name in names)


def test_devstack_finds_the_package_s_name(controller: Node) -> None:
    edited = controller.destination / "requirements" / "upper-constraints.txt.edited"
    assert set(edited.read_text().split()) == {"membuddies-nova"}


def test_restack_renews_and_clean_leaves_nothing(
    make_node: MakeNode, settings: dict[str, str], database: MariaDB
) -> None:
    """On one conductor, and with Python packages outside of a virtual environment."""
    node = make_node(
        settings | {"CELLSV2_SETUP": "singleconductor", "GLOBAL_VENV": "False"}
    )
    before = node.written()
    node.devstack("stack")
    first = _state(node)
    assert "/usr/local/bin/membuddies-agent" in first["agent"]
    assert "track_instance_changes" not in first["filter_scheduler"]
    # Without filters of ours Nova's own stay as they were.
    assert "available_filters" not in first["filter_scheduler"]
    database.execute("CREATE TABLE membuddies.left_over (id INTEGER)")
    node.devstack("unstack")
    assert node.units("started") == set()
    assert node.units("enabled") == set()

    node.devstack("stack")
    second = _state(node)
    assert second["key"] == first["key"]
    assert second["filter_scheduler"] == first["filter_scheduler"]
    assert second["policies"] == first["policies"]
    assert second["secret"] != first["secret"]
    assert ("left_over",) not in database.execute("SHOW TABLES FROM membuddies")

    node.devstack("unstack")
    node.devstack("clean")
    assert node.written() == before


@pytest.fixture(scope="module")
def subnode_settings(settings: dict[str, str]) -> dict[str, str]:
    """local.conf of a second compute node."""
    left_out = {"BASE_SQL_CONN", "KEYSTONE_SERVICE_HOST"}
    kept = {name: value for name, value in settings.items() if name not in left_out}
    return kept | {
        "RABBIT_HOST": settings["SERVICE_HOST"],
        "DATABASE_TYPE": "mysql",
        "ENABLED_SERVICES": "n-cpu,placement-client",
    }


def test_a_subnode_runs_the_agent_alone_with_the_key_it_was_given(
    make_node: MakeNode, subnode_settings: dict[str, str]
) -> None:
    node = make_node(subnode_settings | {"MEMBUDDIES_SEAL_KEY": KEY})
    node.devstack("stack")
    assert node.units("started") == {"membuddies-agent"}
    assert (node.etc / "membuddies" / "seal.key").read_text() == f"{KEY}\n"
    ours = _ini(node.etc / "membuddies" / "membuddies.conf")
    assert ours["membuddies"]["transport_url"].endswith(":5672/membuddies")
    assert not {"database", "inventory", "rebalancer"} & set(ours.sections())
    nova = (node.etc / "nova" / "nova.conf").read_text()
    assert "SharingWeigher" not in nova


def test_guests_that_sample_themselves_get_their_package(
    make_node: MakeNode, subnode_settings: dict[str, str]
) -> None:
    asked = {"MEMBUDDIES_FINGERPRINT_SOURCE": "guest", "MEMBUDDIES_SEAL_KEY": KEY}
    node = make_node(subnode_settings | asked)
    node.devstack("stack")
    said = "The package for guests' images lies at "
    (line,) = [line for line in node.log.splitlines() if line.startswith(said)]
    package = pathlib.Path(line.removeprefix(said))
    assert package.is_relative_to(node.destination / "membuddies-nova")
    assert package.name.startswith("membuddies-guest_")
    assert package.stat().st_size > 0
    ours = _ini(node.etc / "membuddies" / "membuddies.conf")
    assert ours["agent"]["fingerprint_source"] == "guest"


@pytest.mark.parametrize(
    ("added", "sentence"),
    [
        ({}, "add to local.conf MEMBUDDIES_SEAL_KEY=KEY"),
        ({"MEMBUDDIES_SEAL_KEY": "abc"}, "must be 64 hexadecimal digits"),
        ({"MEMBUDDIES_FINGERPRINT_SOURCE": "x"}, "must be host, guest or auto, not x"),
        ({"MEMBUDDIES_REBALANCER_MODE": "x"}, "must be observe, recommend or auto"),
        ({"USER_UNITS": "True", "MEMBUDDIES_SEAL_KEY": KEY}, "remove USER_UNITS"),
        (
            {"USER_UNITS": "True", "MEMBUDDIES_SEAL_KEY": KEY, "ENABLE_KSMTUNED": ""},
            "ENABLE_KSMTUNED=True: pages merge only when memory is short",
        ),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_installed(
    make_node: MakeNode,
    subnode_settings: dict[str, str],
    added: dict[str, str],
    sentence: str,
) -> None:
    node = make_node(subnode_settings | added)
    done = node.devstack("stack", check=False)
    assert done.returncode != 0
    assert sentence in done.stdout
    assert node.written() == []


def _ini(path: pathlib.Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text())
    return parser


def _policies(node: Node, service: str) -> Mapping[str, str]:
    text = (node.etc / service / "policy.yaml").read_text()
    policies: Mapping[str, str] = yaml.safe_load(text)
    return policies


def _seen_by_nova(node: Node) -> Seen:
    python = node.venv / "bin" / "python"
    done = node.run(str(python), "-W", "ignore", "-c", _CLASSES)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    return Seen(*json.loads(line.removeprefix("RESULT ")))


def _state(node: Node) -> dict[str, object]:
    ours = _ini(node.etc / "membuddies" / "membuddies.conf")
    nova = _ini(node.etc / "nova" / "nova.conf")
    unit = _ini(node.etc / "systemd/system/devstack@membuddies-agent.service")
    return {
        "key": (node.etc / "membuddies" / "seal.key").read_text(),
        "secret": ours["inventory"]["application_credential_secret"],
        "filter_scheduler": dict(nova["filter_scheduler"]),
        "policies": _policies(node, "nova"),
        "agent": unit["Service"]["ExecStart"],
    }
