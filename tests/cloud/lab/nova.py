# SPDX-License-Identifier: Apache-2.0
"""Nova's control plane: its databases, API, scheduler and conductor."""

import shutil

from . import configuration, identity, manage, wsgi
from .layout import (
    CONTROL,
    REGION,
    Layout,
    database_url,
    transport_url,
    venv_data,
    venv_program,
)
from .machine import Machine
from .services import Service, Services

TRANSPORT_URL = transport_url("nova", "nova")


def common(layout: Layout) -> dict[str, dict[str, object]]:
    """The sections that all of Nova's services have, computes too.

    Nothing of the databases is in it: a compute host must not see them.
    """
    login = configuration.service_login()
    helper = venv_program("privsep-helper")
    return {
        "DEFAULT": {
            "use_stderr": "true",
            "transport_url": TRANSPORT_URL,
            "state_path": layout.nova_state,
            "concurrency_backend": "threading",
            # Periodic tasks begin at once.
            "periodic_fuzzy_delay": 0,
            # What is asked while the broker is away is asked again after so long.
            "rpc_response_timeout": 30,
            # Without these two a terminated nova-compute lingers for minutes.
            "graceful_shutdown_timeout": 10,
            "manager_shutdown_timeout": 5,
        },
        "oslo_concurrency": {"lock_path": layout.nova_state / "locks"},
        "api": {"auth_strategy": "keystone"},
        "keystone_authtoken": configuration.token_validation(),
        "placement": {**login, "valid_interfaces": "public"},
        "neutron": {**login, "valid_interfaces": "public"},
        "glance": {"region_name": REGION, "valid_interfaces": "public"},
        "vnc": {"enabled": "false"},
        "spice": {"enabled": "false"},
        "serial_console": {"enabled": "false"},
        # There is no sudo here; everything runs as root.
        **{
            context: {"helper_command": helper}
            for context in (
                "nova_sys_admin",
                "vif_plug_linux_bridge_privileged",
                "vif_plug_ovs_privileged",
                "privsep_osbrick",
            )
        },
    }


def prepare(layout: Layout) -> None:
    """Writes the control plane's configuration, makes databases and the cell."""
    etc = layout.config / "nova"
    sections = common(layout)
    sections["database"] = {"connection": database_url("nova", "nova")}
    sections["api_database"] = {"connection": database_url("nova_api", "nova")}
    sections["conductor"] = {"workers": 1}
    sections["scheduler"] = {"discover_hosts_in_cells_interval": 1}
    # Dozens of guests of one tenant are no burden here.
    sections["quota"] = {"driver": "nova.quota.NoopQuotaDriver"}
    sections["oslo_policy"] = {"policy_file": identity.policy_file(layout, "nova")}
    file = configuration.write(etc / "nova.conf", configuration.render(sections))
    shutil.copy(venv_data("etc/nova/api-paste.ini"), etc)
    data = Machine(layout, CONTROL).data / "nova"
    (data / "locks").mkdir(parents=True)

    cell0 = database_url("nova_cell0", "nova")
    cell1 = ["--name", "cell1", "--database_connection", database_url("nova", "nova")]
    nova = ["--config-file", file]
    manage.run(
        Machine(layout, CONTROL),
        "nova.cmd.manage",
        [*nova, "api_db", "sync"],
        [*nova, "cell_v2", "map_cell0", "--database_connection", cell0],
        [*nova, "cell_v2", "create_cell", *cell1, "--transport-url", TRANSPORT_URL],
        # Of cell0, too.
        [*nova, "db", "sync"],
    )


def start_api(layout: Layout) -> None:
    """Starts the compute API; Keystone must run."""
    environment = {"OS_NOVA_CONFIG_DIR": str(layout.config / "nova")}
    wsgi.start(layout, "nova-api", "nova.wsgi.osapi_compute", "compute", environment)


def start_conductor(layout: Layout) -> None:
    """Starts the conductor; the broker and the databases must run."""
    _start_daemon(layout, "nova-conductor", "conductor")


def start_scheduler(layout: Layout, workers: int = 1, extra: str = "") -> None:
    """Starts the scheduler with configuration text of the caller's added.

    ``extra`` comes in a file of its own after nova.conf, so it may repeat sections
    and override options (``[filter_scheduler] weight_classes``, ``[membuddies]``).
    """
    text = configuration.render({"scheduler": {"workers": workers}}) + extra
    file = configuration.write(layout.config / "nova" / "scheduler.conf", text)
    _start_daemon(layout, "nova-scheduler", "scheduler", str(file))


def _start_daemon(layout: Layout, name: str, queue: str, *more_files: str) -> None:
    files = [str(layout.config / "nova" / "nova.conf"), *more_files]
    argv = [venv_program(name)]
    for file in files:
        argv += ["--config-file", file]
    service = Service(name, "ctl", tuple(argv), queue=f"nova/{queue}")
    Services(layout).start(service)
