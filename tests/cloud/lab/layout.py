# SPDX-License-Identifier: Apache-2.0
"""Where everything of a lab is: its machines, addresses, directories, passwords.

For every other module of the lab; it only names things and never touches them.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[3]

# One password for everything: nothing of the lab can be reached from outside the
# lab's own network namespaces.
PASSWORD = "lab"

CONTROL_ADDRESS = "10.77.0.1"
IDENTITY_URL = f"http://{CONTROL_ADDRESS}:5000/v3"
REGION = "RegionOne"

PORTS = {
    "database": 3306,
    "broker": 5672,
    "cache": 11211,
    "identity": 5000,
    "placement": 8778,
    "image": 9292,
    "compute": 8774,
    "network": 9696,
}


def transport_url(vhost: str, user: str) -> str:
    """oslo.messaging's URL of one virtual host of the lab's broker."""
    return f"rabbit://{user}:{PASSWORD}@{CONTROL_ADDRESS}:{PORTS['broker']}/{vhost}"


def database_url(database: str, user: str) -> str:
    """SQLAlchemy's URL of one database of the lab."""
    address = f"{CONTROL_ADDRESS}:{PORTS['database']}"
    return f"mysql+pymysql://{user}:{PASSWORD}@{address}/{database}?charset=utf8mb4"


@dataclass(frozen=True)
class Place:
    """One machine of the lab: the control plane (``ctl``) or a compute host.

    ``service_host`` is the host as Nova spells it; on the last compute host it
    differs from the hostname, as it may in the field.
    """

    key: str
    hostname: str
    address: str
    service_host: str = ""


CONTROL = Place("ctl", "ctl", CONTROL_ADDRESS)
HOSTS = (
    Place("c1", "lab-c1", "10.77.0.11", "lab-c1"),
    Place("c2", "lab-c2", "10.77.0.12", "lab-c2"),
    Place("c3", "lab-c3", "10.77.0.13", "compute-three"),
)
PLACES = {place.key: place for place in (CONTROL, *HOSTS)}


@dataclass(frozen=True)
class Layout:
    """The directories of one lab.

    ``name`` is the prefix of its network namespaces and the name of its directory
    below ``build/cloud``, so that two labs can run beside each other.
    """

    name: str = "lab"

    @property
    def root(self) -> Path:
        """All data of this lab; gone after ``down``."""
        return PROJECT_ROOT / "build" / "cloud" / self.name

    @property
    def lock(self) -> Path:
        """Held by whoever brings this lab up or takes it down."""
        return PROJECT_ROOT / "build" / "cloud" / f"{self.name}.lock"

    @property
    def logs(self) -> Path:
        """One log a service; kept when bringing up fails."""
        return self.root / "log"

    @property
    def config(self) -> Path:
        """The services' configuration files."""
        return self.root / "etc"

    @property
    def services(self) -> Path:
        """One record a running service."""
        return self.root / "services"

    @property
    def home(self) -> Path:
        """The home directory of whoever enters the lab."""
        return self.root / "home"

    @property
    def clouds_yaml(self) -> Path:
        """openstacksdk's and the openstack client's configuration file."""
        return self.root / "clouds.yaml"

    @property
    def nova_state(self) -> Path:
        """Nova's state_path: one path on all hosts, another directory on each.

        Live migration takes a path that both hosts share for shared storage.
        """
        return self.root / "nova"

    def data(self, place: Place) -> Path:
        """What one machine keeps."""
        return self.root / place.key

    def namespace(self, place: Place) -> str:
        """The network namespace of one machine."""
        return f"{self.name}-{place.key}"


def venv_program(name: str) -> str:
    """The path of a program of the virtual environment that runs this."""
    return str(Path(sys.executable).parent / name)


def venv_data(relative: str) -> Path:
    """The path of a data file that a package installed into the environment."""
    return Path(sys.prefix) / relative
