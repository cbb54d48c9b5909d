# SPDX-License-Identifier: Apache-2.0
"""Placement."""

from . import configuration, identity, wsgi
from .configuration import Sections
from .layout import CONTROL, Layout, database_url, venv_program
from .machine import Machine


def prepare(layout: Layout) -> None:
    """Writes Placement's configuration and makes its database."""
    sections: Sections = {
        "DEFAULT": {"use_stderr": "true"},
        "api": {"auth_strategy": "keystone"},
        "placement_database": {"connection": database_url("placement", "placement")},
        "keystone_authtoken": configuration.token_validation(),
        "oslo_policy": {"policy_file": identity.policy_file(layout, "placement")},
    }
    etc = layout.config / "placement"
    text = configuration.render(sections)
    file = configuration.write(etc / "placement.conf", text)
    manage = [venv_program("placement-manage"), "--config-file", str(file)]
    Machine(layout, CONTROL).run([*manage, "db", "sync"])


def start(layout: Layout) -> None:
    """Starts the API; Keystone must run."""
    environment = {"OS_PLACEMENT_CONFIG_DIR": str(layout.config / "placement")}
    wsgi.start(layout, "placement", "placement.wsgi.api", "placement", environment)
