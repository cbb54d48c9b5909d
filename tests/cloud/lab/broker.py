# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ: Nova's virtual host, and one of our own with a user of its own."""

import base64
import hashlib
import json

from . import configuration
from .layout import CONTROL, CONTROL_ADDRESS, PASSWORD, PORTS, Layout
from .machine import Machine
from .services import Service, Services

# Virtual host -> the one user that may use it.
VIRTUAL_HOSTS = {"nova": "nova", "membuddies": "membuddies"}


def start(layout: Layout) -> None:
    """Starts the broker with its users and virtual hosts."""
    data = Machine(layout, CONTROL).data / "rabbitmq"
    home = data / "home"
    home.mkdir(parents=True)
    etc = layout.config / "rabbitmq"
    definitions = configuration.write(etc / "definitions.json", _definitions())
    settings = {
        "listeners.tcp.1": f"{CONTROL_ADDRESS}:{PORTS['broker']}",
        "loopback_users": "none",
        "load_definitions": definitions,
        # The machine is shared: the guests' memory is no reason to block senders.
        "vm_memory_high_watermark.absolute": "1GB",
        "disk_free_limit.absolute": "50MB",
    }
    text = "".join(f"{name} = {value}\n" for name, value in settings.items())
    environment = {
        # /usr/sbin/rabbitmq-server changes the user; this is what it then runs.
        "HOME": home,
        "RABBITMQ_NODENAME": "rabbit@ctl",
        "RABBITMQ_CONF_ENV_FILE": configuration.write(etc / "env.conf", ""),
        "RABBITMQ_CONFIG_FILE": configuration.write(etc / "rabbitmq.conf", text),
        "RABBITMQ_ENABLED_PLUGINS_FILE": configuration.write(etc / "plugins", "[].\n"),
        "RABBITMQ_MNESIA_BASE": data / "mnesia",
        "RABBITMQ_LOG_BASE": data / "log",
        "RABBITMQ_LOGS": "-",
    }
    Services(layout).start(
        Service(
            "rabbitmq",
            "ctl",
            ("/usr/lib/rabbitmq/bin/rabbitmq-server",),
            {name: str(value) for name, value in environment.items()},
            PORTS["broker"],
        )
    )


def _definitions() -> str:
    """What the broker loads at its start: rabbitmqctl costs seconds a call."""
    users = [
        {"name": user, "password_hash": _password_hash(user), "tags": ""}
        for user in VIRTUAL_HOSTS.values()
    ]
    permissions = [
        {"user": user, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"}
        for vhost, user in VIRTUAL_HOSTS.items()
    ]
    vhosts = [{"name": vhost} for vhost in VIRTUAL_HOSTS]
    return json.dumps({"users": users, "vhosts": vhosts, "permissions": permissions})


def _password_hash(user: str) -> str:
    """RabbitMQ's salted SHA-256 (rabbitmq.com, "Passwords": computing hashes)."""
    salt = hashlib.sha256(user.encode()).digest()[:4]
    digest = hashlib.sha256(salt + PASSWORD.encode()).digest()
    return base64.b64encode(salt + digest).decode()
