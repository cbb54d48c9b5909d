# SPDX-License-Identifier: Apache-2.0
"""Configuration files as text, and the sections that several services share."""

from collections.abc import Mapping
from pathlib import Path

from .layout import CONTROL_ADDRESS, IDENTITY_URL, PASSWORD, PORTS, REGION

Options = Mapping[str, object]
Sections = Mapping[str, Options]


def render(sections: Sections) -> str:
    """The text of an INI file, as oslo.config reads it."""
    blocks = []
    for section, options in sections.items():
        lines = [f"{name} = {value}" for name, value in options.items()]
        blocks.append("\n".join([f"[{section}]", *lines]))
    return "\n\n".join(blocks) + "\n"


def write(path: Path, text: str) -> Path:
    """Writes a configuration file and says where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def service_login() -> dict[str, object]:
    """keystoneauth options of the one user that all services share."""
    return {
        "auth_type": "password",
        "auth_url": IDENTITY_URL,
        "username": "admin",
        "password": PASSWORD,
        "project_name": "admin",
        "user_domain_id": "default",
        "project_domain_id": "default",
        "region_name": REGION,
    }


def token_validation() -> dict[str, object]:
    """The section keystone_authtoken of a service that validates tokens."""
    return {
        **service_login(),
        "www_authenticate_uri": IDENTITY_URL,
        "interface": "public",
        "memcached_servers": f"{CONTROL_ADDRESS}:{PORTS['cache']}",
        "service_token_roles_required": "true",
        "service_token_roles": "admin",
    }
