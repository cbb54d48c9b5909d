# SPDX-License-Identifier: Apache-2.0
"""Signs of life of the project's own processes.

Each process beats now and then with what an operator should see of it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from membuddies_nova.db import models, rows


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServiceBeat:
    """When a service last said that it lives.

    :ivar detail: what it said of itself
    """

    binary: str
    host: str
    beat_at: float
    detail: Mapping[str, Any]


def beat(
    session: Session, binary: str, host: str, now: float, detail: Mapping[str, Any]
) -> None:
    """Say that a process lives."""
    key = {"binary": binary, "host": host}
    rows.put(session, models.Service, key, beat_at=now, detail=dict(detail))


def all(session: Session) -> list[ServiceBeat]:
    """The last sign of life of every service, by binary and host."""
    found = session.scalars(
        select(models.Service).order_by(models.Service.binary, models.Service.host)
    )
    return [
        ServiceBeat(
            binary=row.binary, host=row.host, beat_at=row.beat_at, detail=row.detail
        )
        for row in found
    ]
