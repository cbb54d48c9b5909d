# SPDX-License-Identifier: Apache-2.0
"""Nova's databases on this machine, for weighers that read them while they weigh."""

import pathlib
import uuid
from collections.abc import Mapping

import nova.conf
from nova import context, objects, rpc
from nova.db import migration
from nova.db.api import api as api_db
from nova.db.main import api as main_db
from osprofiler import opts as profiler

CELL = str(uuid.UUID(int=1))


class Cell:
    """An API database and one cell's, both SQLite with Nova's own tables.

    :param folder: where their files come to lie
    """

    def __init__(self, folder: pathlib.Path) -> None:
        conf = nova.conf.CONF
        # As Nova's services do when they read their configuration.
        profiler.set_defaults(conf)
        rpc.init(conf)
        connection = f"sqlite:///{folder}/cell.sqlite"
        for group, url in (
            ("api_database", f"sqlite:///{folder}/api.sqlite"),
            ("database", connection),
        ):
            conf.set_override("connection", url, group=group)
        api_db.configure(conf)
        main_db.configure(conf)
        for database in ("api", "main"):
            migration.db_sync(database=database)
        self._context = context.get_admin_context()
        mapping = objects.CellMapping(
            self._context,
            uuid=CELL,
            name="cell1",
            transport_url="fake:///",
            database_connection=connection,
            disabled=False,
        )
        mapping.create()
        self._mapping = mapping

    def add(self, instance: str, host: str, properties: Mapping[str, str]) -> None:
        """A guest in the cell's database, with its image's properties."""
        with context.target_cell(self._context, self._mapping) as cell:
            main_db.instance_create(
                cell,
                {
                    "uuid": instance,
                    "host": host,
                    "project_id": "p1",
                    "system_metadata": {
                        f"image_{name}": value for name, value in properties.items()
                    },
                },
            )
