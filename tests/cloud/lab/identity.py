# SPDX-License-Identifier: Apache-2.0
"""Keystone: the services' catalog, the projects, users and credentials.

Who there is:

- ``admin``: cloud administrator, and the user of all OpenStack services;
- ``red``, ``blue``: two tenant projects, used by ``admin`` in each of them, so that
  guests of two owners exist;
- ``reader``: an application credential with the role ``reader`` in the project
  ``membuddies``, for the controller and for a rebalancer that only observes.  Nova's
  and Placement's policies name that project (:func:`policy_file`), because by
  default only administrators may list all guests and see their hosts.  It must list:
  a GET of one guest of another project is a 404 whatever the policy says, because
  Nova's database layer looks at the project itself;
- ``mover``: an application credential with the role ``admin``.  Nova lets only
  administrators name the destination of a live migration
  (``os_compute_api:os-migrate-server:migrate_live:host``) and only them migrate the
  guests of other projects.
"""

import json
import secrets
from typing import Any

import openstack

from . import configuration, manage, namespaces, wsgi
from .configuration import Sections
from .layout import (
    CONTROL,
    CONTROL_ADDRESS,
    IDENTITY_URL,
    PASSWORD,
    PORTS,
    REGION,
    Layout,
    database_url,
)
from .machine import Machine

TENANTS = ("red", "blue")
_CATALOG = {
    "placement": ("placement", f"http://{CONTROL_ADDRESS}:{PORTS['placement']}"),
    "glance": ("image", f"http://{CONTROL_ADDRESS}:{PORTS['image']}"),
    "nova": ("compute", f"http://{CONTROL_ADDRESS}:{PORTS['compute']}/v2.1"),
    "neutron": ("network", f"http://{CONTROL_ADDRESS}:{PORTS['network']}"),
}
# What the reader may do besides what each service's default rule allows:
# service -> default rule -> policies.
_READER_POLICIES: dict[str, dict[str, tuple[str, ...]]] = {
    "nova": {
        "rule:context_is_admin": (
            "os_compute_api:servers:index:get_all_tenants",
            "os_compute_api:servers:detail:get_all_tenants",
            "os_compute_api:servers:allow_all_filters",
            "os_compute_api:servers:show:host_status",
            "os_compute_api:os-extended-server-attributes",
            "os_compute_api:os-hypervisors:list",
            "os_compute_api:os-hypervisors:list-detail",
            "os_compute_api:os-hypervisors:show",
            "os_compute_api:os-services:list",
            "os_compute_api:os-aggregates:index",
            "os_compute_api:os-aggregates:show",
            "os_compute_api:os-availability-zone:detail",
            "os_compute_api:os-server-groups:index:all_projects",
            "os_compute_api:os-migrations:index:all_projects",
            "os_compute_api:os-migrations:index:host",
        ),
        "rule:project_manager_or_admin": ("os_compute_api:os-migrations:index",),
        "rule:project_reader_or_admin": ("os_compute_api:os-server-groups:show",),
    },
    "placement": {
        "rule:admin_or_service_api": (
            "placement:resource_providers:list",
            "placement:resource_providers:show",
            "placement:resource_providers:inventories:list",
            "placement:resource_providers:usages",
            "placement:resource_providers:aggregates:list",
            "placement:resource_providers:traits:list",
            "placement:resource_providers:allocations:list",
            "placement:allocations:list",
        ),
    },
}


def prepare(layout: Layout) -> None:
    """Writes Keystone's configuration, its keys, its database and first user."""
    etc = layout.config / "keystone"
    sections: Sections = {
        "DEFAULT": {"use_stderr": "true"},
        "database": {"connection": database_url("keystone", "keystone")},
        "identity": {"password_hash_rounds": 4},
        "token": {"expiration": 86400},
        "fernet_tokens": {"key_repository": etc / "fernet"},
        "fernet_receipts": {"key_repository": etc / "fernet"},
        "credential": {"key_repository": etc / "credential"},
    }
    file = configuration.write(etc / "keystone.conf", configuration.render(sections))
    for kind in ("fernet", "credential"):
        (etc / kind).mkdir(mode=0o700)
    owner = ["--keystone-user", "root", "--keystone-group", "root"]
    bootstrap = [
        *("--bootstrap-password", PASSWORD, "--bootstrap-region-id", REGION),
        *("--bootstrap-public-url", IDENTITY_URL),
    ]
    manage.run(
        Machine(layout, CONTROL),
        "keystone.cmd.manage",
        ["--config-file", file, "fernet_setup", *owner],
        ["--config-file", file, "db_sync"],
        ["--config-file", file, "bootstrap", *bootstrap],
    )


def start(layout: Layout) -> None:
    """Starts Keystone and fills it."""
    environment = {"OS_KEYSTONE_CONFIG_DIR": str(layout.config / "keystone")}
    wsgi.start(layout, "keystone", "keystone.wsgi.api", "identity", environment)
    clouds: dict[str, Any] = {
        project: _password_login(project) for project in ("admin", *TENANTS)
    }
    _write_clouds(layout, clouds)
    with namespaces.entered(layout):
        connection = connect(layout, "admin")
        _fill_catalog(connection)
        for tenant in TENANTS:
            _make_project(connection, tenant, "admin", "admin")
        connection.create_user(
            name="membuddies", password=PASSWORD, domain_id="default"
        )
        project = _make_project(connection, "membuddies", "membuddies", "reader")
        _write_policies(layout, project.id)
        clouds["membuddies"] = _password_login("membuddies", "membuddies")
        _write_clouds(layout, clouds)
        clouds["reader"] = _application_credential(layout, "membuddies", "reader")
        clouds["mover"] = _application_credential(layout, "admin", "admin")
        _write_clouds(layout, clouds)
        connection.close()


def connect(layout: Layout, login: str) -> openstack.connection.Connection:
    """A connection as one of the logins of clouds.yaml.

    Its requests must be made inside the lab (:func:`namespaces.entered`).
    """
    config = openstack.config.OpenStackConfig(
        config_files=[str(layout.clouds_yaml)], load_envvars=False
    )
    return openstack.connection.Connection(config=config.get_one(cloud=login))


def auth_options(layout: Layout, login: str) -> dict[str, str]:
    """A login as keystoneauth's options, for a section of a configuration file."""
    cloud = json.loads(layout.clouds_yaml.read_text())["clouds"][login]
    kind = {"auth_type": cloud.get("auth_type", "password")}
    return {**kind, **cloud["auth"], "region_name": cloud["region_name"]}


def policy_file(layout: Layout, service: str) -> str:
    """Where the policy of ``nova`` or ``placement`` for our reader lies."""
    return str(layout.config / "policy" / f"{service}.yaml")


def _write_policies(layout: Layout, project_id: str) -> None:
    reader = f"(role:reader and project_id:{project_id})"
    for service, defaults in _READER_POLICIES.items():
        policy = {
            rule: f"{default} or {reader}"
            for default, rules in defaults.items()
            for rule in rules
        }
        path = layout.config / "policy" / f"{service}.yaml"
        configuration.write(path, _yaml(policy))


def _fill_catalog(connection: openstack.connection.Connection) -> None:
    for name, (kind, url) in _CATALOG.items():
        service = connection.identity.create_service(name=name, type=kind)
        connection.identity.create_endpoint(
            service_id=service.id, interface="public", region_id=REGION, url=url
        )


def _make_project(
    connection: openstack.connection.Connection, name: str, user: str, role: str
) -> Any:
    project = connection.create_project(name=name, domain_id="default")
    connection.grant_role(role, user=user, project=project.id, domain="default")
    return project


def _application_credential(layout: Layout, login: str, role: str) -> dict[str, Any]:
    connection = connect(layout, login)
    made = connection.identity.create_application_credential(
        user=connection.current_user_id,
        name=f"membuddies-{role}",
        secret=secrets.token_urlsafe(16),
        roles=[{"name": role}],
    )
    connection.close()
    return {
        "auth_type": "v3applicationcredential",
        "region_name": REGION,
        "auth": {
            "auth_url": IDENTITY_URL,
            "application_credential_id": made.id,
            "application_credential_secret": made.secret,
        },
    }


def _password_login(project: str, user: str = "admin") -> dict[str, Any]:
    return {
        "region_name": REGION,
        "auth": {
            "auth_url": IDENTITY_URL,
            "username": user,
            "password": PASSWORD,
            "project_name": project,
            "user_domain_id": "default",
            "project_domain_id": "default",
        },
    }


def _write_clouds(layout: Layout, clouds: dict[str, Any]) -> None:
    layout.clouds_yaml.touch(mode=0o600)
    layout.clouds_yaml.write_text(_yaml({"clouds": clouds}))


def _yaml(value: dict[str, Any]) -> str:
    """JSON is YAML, too."""
    return json.dumps(value, indent=2) + "\n"
