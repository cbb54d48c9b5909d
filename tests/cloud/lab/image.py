# SPDX-License-Identifier: Apache-2.0
"""Glance, with its images in files."""

from . import configuration, wsgi
from .configuration import Sections
from .layout import CONTROL, Layout, database_url, venv_data, venv_program
from .machine import Machine


def prepare(layout: Layout) -> None:
    """Writes Glance's configuration and makes its database."""
    data = Machine(layout, CONTROL).data / "glance"
    sections: Sections = {
        "DEFAULT": {
            "use_stderr": "true",
            "enabled_backends": "files:file",
            "enabled_import_methods": "[]",
        },
        "database": {"connection": database_url("glance", "glance")},
        "glance_store": {"default_backend": "files"},
        "files": {"filesystem_store_datadir": data / "images"},
        "os_glance_staging_store": {"filesystem_store_datadir": data / "staging"},
        "os_glance_tasks_store": {"filesystem_store_datadir": data / "tasks"},
        "keystone_authtoken": configuration.token_validation(),
        "paste_deploy": {
            "flavor": "keystone",
            "config_file": venv_data("etc/glance/glance-api-paste.ini"),
        },
    }
    for directory in ("images", "staging", "tasks"):
        (data / directory).mkdir(parents=True)
    file = configuration.write(
        layout.config / "glance" / "glance-api.conf", configuration.render(sections)
    )
    manage = [venv_program("glance-manage"), "--config-file", str(file)]
    Machine(layout, CONTROL).run([*manage, "db_sync"])


def start(layout: Layout) -> None:
    """Starts the API; Keystone must run."""
    environment = {"OS_GLANCE_CONFIG_DIR": str(layout.config / "glance")}
    wsgi.start(layout, "glance", "glance.wsgi.api", "image", environment)
