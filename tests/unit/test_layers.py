# SPDX-License-Identifier: Apache-2.0
"""The layers of the house, read from the imports of every module.

The table is that of doc/source/architecture.rst. A module may import what its
row names and the rows below that it names; nothing else.
"""

import ast
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = {
    "membuddies_nova": ROOT / "membuddies_nova",
    "membuddies_agent": ROOT / "agent" / "membuddies_agent",
}

OSLO_BASE = {"oslo_config", "oslo_log", "oslo_messaging"}
SERVICE = {"oslo_service", "oslo_reports"}
DATABASE = {"oslo_db", "sqlalchemy", "alembic"}

VALUES = {
    "membuddies_nova.exceptions",
    "membuddies_nova.cluster",
    "membuddies_nova.facts",
    "membuddies_nova.plan",
    "membuddies_nova.scoreboard",
    "membuddies_nova.fingerprint",
    "membuddies_nova",
}
L1 = {"membuddies_nova.conf", "membuddies_nova.bus"}
L2 = {"membuddies_nova.db"}
L3 = {"membuddies_nova.model", "membuddies_nova.planner"}

# part: (our parts it may import, packages of others it may import)
TABLE: dict[str, tuple[set[str], set[str]]] = {
    **dict.fromkeys(VALUES, (VALUES, {"numpy", "xxhash"})),
    **dict.fromkeys(L1, (VALUES | L1, OSLO_BASE | {"keystoneauth1"})),
    **dict.fromkeys(L2, (VALUES | L1 | L2, OSLO_BASE | DATABASE)),
    **dict.fromkeys(L3, (VALUES | L3, {"numpy", "scipy"})),
    "membuddies_agent": (
        VALUES | L1 | {"membuddies_agent"},
        OSLO_BASE | SERVICE | {"numpy", "xxhash", "libvirt", "libvirt_qemu"},
    ),
    "membuddies_nova.controller": (
        VALUES | L1 | L2 | L3 | {"membuddies_nova.controller"},
        OSLO_BASE | SERVICE | DATABASE | {"numpy"},
    ),
    "membuddies_nova.inventory": (
        VALUES | L1 | L2 | {"membuddies_nova.inventory"},
        OSLO_BASE | {"openstack", "keystoneauth1"},
    ),
    "membuddies_nova.scheduler": (
        VALUES | L1 | {"membuddies_nova.scheduler"},
        OSLO_BASE | {"nova"},
    ),
    "membuddies_nova.rebalancer": (
        VALUES | L1 | L2 | L3 | {"membuddies_nova.rebalancer"},
        OSLO_BASE | SERVICE | {"openstack", "keystoneauth1", "numpy"},
    ),
}
ENTRY_POINTS = {"membuddies_nova.cmd", "membuddies_nova.cli"}

# Each is imported in few places only, so that it can be replaced there.
PLACES = {
    # Read-only in the one, read-write in the other.
    "libvirt": {
        "membuddies_agent.libvirt_domains",
        "membuddies_agent.libvirt_guest_agent",
    },
    "libvirt_qemu": {"membuddies_agent.libvirt_guest_agent"},
    "openstack": {
        "membuddies_nova.inventory",
        "membuddies_nova.rebalancer.migrations",
    },
    "nova": {"membuddies_nova.scheduler"},
    "eventlet": set(),
}


def modules() -> dict[str, pathlib.Path]:
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join((package, *parts)).removesuffix(".__init__")
            found[name] = path
    return found


MODULES = modules()


def imports(name: str, path: pathlib.Path) -> set[str]:
    """Full names of what a module imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else str(node.module))
    return found


def part(name: str) -> str:
    """The row of the table that a module of ours belongs to."""
    pieces = name.split(".")
    return pieces[0] if pieces[0] == "membuddies_agent" else ".".join(pieces[:2])


def problems(name: str, imported: set[str]) -> list[str]:
    found = []
    for other in imported:
        top = other.split(".")[0]
        if top in sys.stdlib_module_names:
            continue
        if top in PLACES and not any(
            name == place or name.startswith(f"{place}.") for place in PLACES[top]
        ):
            found.append(f"{name} imports {other}: only {PLACES[top] or 'nobody'} may")
        if part(name) in ENTRY_POINTS:
            continue
        ours, others = TABLE[part(name)]
        if part(other) not in ours if top in PACKAGES else top not in others:
            found.append(f"{name} imports {other}, which its layer may not")
    return found


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_what_its_layer_may(name):
    assert part(name) in TABLE.keys() | ENTRY_POINTS, f"{name} stands in no layer"
    assert problems(name, imports(name, MODULES[name])) == []


@pytest.mark.parametrize("name", [n for n in MODULES if part(n) not in ENTRY_POINTS])
def test_only_an_entry_point_chooses_the_threading_backend(name):
    assert not any(
        other.startswith("oslo_service.backend")
        for other in imports(name, MODULES[name])
    )


@pytest.mark.parametrize(
    ("name", "imported"),
    [
        ("membuddies_nova.planner.greedy", "membuddies_nova.db.api"),
        ("membuddies_nova.planner.greedy", "oslo_log"),
        ("membuddies_nova.scheduler.weigher", "membuddies_nova.model.sharing"),
        ("membuddies_nova.scheduler.weigher", "oslo_service"),
        ("membuddies_nova.controller.service", "membuddies_nova.inventory.reader"),
        ("membuddies_nova.bus.client", "nova.conf"),
        ("membuddies_agent.scan", "libvirt"),
        ("membuddies_agent.libvirt_domains", "libvirt_qemu"),
        ("membuddies_nova.cmd.agent", "eventlet"),
    ],
)
def test_an_import_across_the_layers_is_noticed(name, imported):
    assert problems(name, {imported})
