# SPDX-License-Identifier: Apache-2.0
"""Memory Buddies on a lab, installed as an operator would.

An agent on each compute host, controllers and rebalancers on the control plane,
the weigher in nova-scheduler's configuration. The periods are short, and guests
count from their first minute, so that a test or a reader of the demo need not wait
for minutes; everything else is the default.
"""

import json
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import configuration
from .cloud import Cloud
from .errors import LabError
from .layout import HOSTS, database_url, transport_url, venv_program

REFRESH_SECONDS = 2
"""Between two reports, inventories, boards and plans."""

SCAN_SECONDS = 5 * REFRESH_SECONDS
"""Between two scans of a guest, however much of it changes."""

WEIGHER = "membuddies_nova.scheduler.weigher.SharingWeigher"

_Sections = dict[str, dict[str, object]]


@dataclass(frozen=True)
class Buddies:
    """Our services on one lab.

    :ivar options: added to everybody's membuddies.conf, section by section
    """

    cloud: Cloud
    options: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def up(self, mode: str | None, in_scheduler: bool = True) -> None:
        """Install everything and start it; the cloud must be up.

        :param mode: the rebalancer's; without one there is none
        :param in_scheduler: False leaves nova-scheduler as it is
        """
        self.write_configuration()
        self.cloud.run([*self._command("membuddies-manage"), "db", "upgrade"])
        self.start_controller()
        for place in HOSTS:
            self.start_agent(place.key)
        if mode is not None:
            self.start_rebalancer(mode)
        if in_scheduler:
            self.configure_scheduler()

    def down(self) -> None:
        """Stop our services and give nova-scheduler its own weighers back."""
        for name in self.cloud.services():
            if name.startswith("membuddies-"):
                self.cloud.stop_service(name)
        self.cloud.configure_scheduler()
        tables = self.cloud.query(
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_schema = 'membuddies'"
        )
        names = ", ".join(f"membuddies.{row[0]}" for row in tables)
        if names:
            self.cloud.query(f"SET FOREIGN_KEY_CHECKS = 0; DROP TABLE {names}")

    # Parts -------------------------------------------------------------------

    def start_controller(self, name: str = "ctl") -> None:
        """Start a controller; each needs a name of its own."""
        own = {"host": name, "key_file": self.key_file("ctl")}
        self._start("controller", name, {"controller": own}, "ctl")

    def start_rebalancer(
        self, mode: str = "recommend", name: str = "ctl", **options: object
    ) -> None:
        """Start a rebalancer.

        :param options: of the group ``[rebalancer]``
        """
        rebalancer = {"mode": mode, "host": name, **options}
        self._start("rebalancer", name, {"rebalancer": rebalancer}, "ctl")

    def reload_rebalancer(self, mode: str, name: str, **options: object) -> None:
        """Let a rebalancer that runs read other options of its group."""
        rebalancer = {"mode": mode, "host": name, **options}
        self._write_own("rebalancer", name, {"rebalancer": rebalancer})
        self.cloud.kill_service(f"membuddies-rebalancer-{name}", signal.SIGHUP)

    def start_agent(self, key: str) -> None:
        """Start the agent of a machine (``c1``, ``c2``, ``c3``)."""
        place = next(place for place in HOSTS if place.key == key)
        own = {"host": place.service_host, "key_file": self.key_file(key)}
        self._start("agent", key, {"agent": own}, key)

    def configure_scheduler(
        self, workers: int = 1, multiplier: float | None = None, extra: str = ""
    ) -> None:
        """Start nova-scheduler again with our weigher behind all of Nova's."""
        membuddies: dict[str, object] = {
            "transport_url": transport_url("membuddies", "membuddies"),
            "board_refresh_seconds": REFRESH_SECONDS,
        }
        if multiplier is not None:
            membuddies["sharing_weight_multiplier"] = multiplier
        sections: _Sections = {
            # Its debug log shows each request's weights.
            "DEFAULT": {"debug": "true"},
            "filter_scheduler": {
                "weight_classes": f"nova.scheduler.weights.all_weighers,{WEIGHER}"
            },
            "membuddies": membuddies,
        }
        text = configuration.render(sections)
        self.cloud.configure_scheduler(workers, text + extra)

    # What an operator does ---------------------------------------------------

    def run(
        self, *arguments: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run ``membuddies`` on the control plane."""
        command = [*self._command("membuddies"), *arguments]
        return self.cloud.run(command, check=check)

    def json(self, *arguments: str) -> Any:
        """What a ``membuddies`` command prints with ``-f json``."""
        return json.loads(self.run(*arguments, "-f", "json").stdout)

    def wait(
        self, done: Callable[[], Any], complaint: str, timeout_seconds: float = 120
    ) -> Any:
        """Wait until something is true, and return it.

        :raises LabError: it did not become true in time
        """
        deadline = time.monotonic() + timeout_seconds
        while not (found := done()):
            if time.monotonic() > deadline:
                raise LabError(f"{complaint} after {timeout_seconds:.0f} s")
            time.sleep(0.2)
        return found

    # Configuration -----------------------------------------------------------

    def write_configuration(self) -> None:
        """Write the configuration that all our services share, and a new key."""
        cloud = self.cloud
        sections: _Sections = {
            "DEFAULT": {"debug": "true"},
            "membuddies": {"transport_url": transport_url("membuddies", "membuddies")},
            "database": {"connection": database_url("membuddies", "membuddies")},
            "inventory": {
                **cloud.auth_options("reader"),
                "period_seconds": REFRESH_SECONDS,
            },
            "rebalancer": {
                **cloud.auth_options("mover"),
                "period_seconds": 5 * REFRESH_SECONDS,
                "poll_seconds": 0.5,
                # The lab's guests are minutes old: nothing has lasted for long yet.
                "copy_hours": 0,
            },
            "agent": {
                "report_period_seconds": REFRESH_SECONDS,
                "scan_interval_seconds": SCAN_SECONDS,
                "scan_interval_max_seconds": SCAN_SECONDS,
                "scan_core_share": 1.0,
                "scan_mb_per_second": 4096,
                "min_guest_age_seconds": 0,
            },
        }
        for name, options in self.options.items():
            sections.setdefault(name, {}).update(options)
        configuration.write(self.config_file, configuration.render(sections))
        home = cloud.layout.home / ".membuddies"
        if not home.exists():
            home.symlink_to(self.config_file.parent)
        key = secrets.token_hex(32)
        for where in ("ctl", *(place.key for place in HOSTS)):
            self.give_key(where, key)

    @property
    def config_file(self) -> Path:
        """The configuration file that all our services and commands read."""
        return self.cloud.layout.config / "membuddies" / "membuddies.conf"

    def give_key(self, where: str, *keys: str) -> None:
        """Put keys into a machine's key file, which changes as a whole.

        :param where: ``ctl`` or a compute host's key
        """
        file = self.key_file(where)
        new = file.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text("".join(f"{key}\n" for key in keys))
        new.rename(file)

    def key_file(self, where: str) -> Path:
        """The cloud's key, as a machine has it."""
        return self.config_file.with_name(f"seal-{where}.key")

    def _start(self, part: str, name: str, own: _Sections, where: str) -> None:
        file = self._write_own(part, name, own)
        command = [*self._command(f"membuddies-{part}"), "--config-file", str(file)]
        self.cloud.start_service(f"membuddies-{part}-{name}", command, where)

    def _write_own(self, part: str, name: str, own: _Sections) -> Path:
        file = self.config_file.with_name(f"{part}-{name}.conf")
        return configuration.write(file, configuration.render(own))

    def _command(self, program: str) -> list[str]:
        return [venv_program(program), "--config-file", str(self.config_file)]
