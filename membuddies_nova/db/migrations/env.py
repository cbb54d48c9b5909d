# SPDX-License-Identifier: Apache-2.0
"""How Alembic reaches the database, see :mod:`membuddies_nova.db.schema`.

Run by Alembic, never imported. To write a revision, use its API with the same
settings; there is no alembic.ini.
"""

from alembic import context

from membuddies_nova.db import models

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=models.Base.metadata,
    # SQLite cannot alter a table: Alembic copies it instead.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
