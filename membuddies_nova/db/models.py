# SPDX-License-Identifier: Apache-2.0
"""The tables, for the functions of this package and the migrations only.

A column exists for what SQL asks or decides by; the rest of a value is JSON, so
that a new fact needs no migration and two releases can share a database. Times
are seconds since the epoch, in columns named ``*_at``. Names compare byte by
byte on every server.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# MariaDB's BLOB ends at 64 KiB, its MEDIUMBLOB at 16 MiB.
_BODY = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")
_UUID = String(36)
_NAME = String(255)
_WORD = String(32)
_OPTIONS = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}


class Base(DeclarativeBase):
    """What all tables have in common."""

    type_annotation_map = {  # noqa: RUF012  as SQLAlchemy reads it
        float: Double,
        int: BigInteger,
        bool: Boolean,
        str: Text,
        dict[str, Any]: JSON,
        list[Any]: JSON,
    }
    __table_args__: Any = _OPTIONS


class InventoryRead(Base):
    """The one row that says when Nova was read, or why it was not."""

    __tablename__ = "inventory_reads"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    read_at: Mapped[float | None]
    attempted_at: Mapped[float | None]
    error: Mapped[str | None]


class Host(Base):
    """A compute host as the inventory has it."""

    __tablename__ = "hosts"

    name: Mapped[str] = mapped_column(_NAME, primary_key=True)
    facts: Mapped[dict[str, Any]]


class Guest(Base):
    """An instance as the inventory has it.

    ``last_moved_at`` is ours: when the inventory first named another host.
    """

    __tablename__ = "guests"
    __table_args__ = (Index("guests_host", "host"), _OPTIONS)

    uuid: Mapped[str] = mapped_column(_UUID, primary_key=True)
    host: Mapped[str | None] = mapped_column(_NAME)
    facts: Mapped[dict[str, Any]]
    launched_at: Mapped[float | None]
    last_moved_at: Mapped[float | None]


class Image(Base):
    """An image as the inventory has it."""

    __tablename__ = "images"

    id: Mapped[str] = mapped_column(_UUID, primary_key=True)
    facts: Mapped[dict[str, Any]]


class Sequence(Base):
    """A counter that a transaction keeps locked from its bump to its commit.

    So numbers become visible in their order, and who has read up to one misses
    no smaller one later.
    """

    __tablename__ = "sequences"

    name: Mapped[str] = mapped_column(_WORD, primary_key=True)
    value: Mapped[int]


class Fingerprint(Base):
    """The newest fingerprint of a guest."""

    __tablename__ = "fingerprints"
    __table_args__ = (Index("fingerprints_sequence", "sequence"), _OPTIONS)

    guest: Mapped[str] = mapped_column(_UUID, primary_key=True)
    host: Mapped[str] = mapped_column(_NAME)
    started: Mapped[int]
    counter: Mapped[int]
    digest: Mapped[str] = mapped_column(_WORD)
    scanned_at: Mapped[float]
    stored_at: Mapped[float]
    sequence: Mapped[int]
    body_bytes: Mapped[int]
    body: Mapped[bytes] = mapped_column(_BODY)


class HeldFingerprint(Base):
    """A fingerprint from a host on which Nova does not see the guest (yet)."""

    __tablename__ = "held_fingerprints"
    __table_args__ = (Index("held_fingerprints_host", "host"), _OPTIONS)

    guest: Mapped[str] = mapped_column(_UUID, primary_key=True)
    host: Mapped[str] = mapped_column(_NAME, primary_key=True)
    started: Mapped[int]
    counter: Mapped[int]
    digest: Mapped[str] = mapped_column(_WORD)
    scanned_at: Mapped[float]
    held_at: Mapped[float]
    body: Mapped[bytes] = mapped_column(_BODY)


class Report(Base):
    """The newest report of an agent, and by what it was proved to be one."""

    __tablename__ = "reports"

    host: Mapped[str] = mapped_column(_NAME, primary_key=True)
    started: Mapped[int]
    counter: Mapped[int]
    tag: Mapped[str] = mapped_column(_WORD)
    key_id: Mapped[str] = mapped_column(_WORD)
    received_at: Mapped[float]
    facts: Mapped[dict[str, Any]]
    guests: Mapped[list[Any]]


class Service(Base):
    """A process that says it lives."""

    __tablename__ = "services"

    binary: Mapped[str] = mapped_column(_NAME, primary_key=True)
    host: Mapped[str] = mapped_column(_NAME, primary_key=True)
    beat_at: Mapped[float]
    detail: Mapped[dict[str, Any]]


class Plan(Base):
    """A plan and what became of it; ``plan`` is the whole value."""

    __tablename__ = "plans"
    __table_args__ = (
        Index("plans_created_at", "created_at"),
        Index("plans_state", "state"),
        _OPTIONS,
    )

    id: Mapped[str] = mapped_column(_UUID, primary_key=True)
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    ended_at: Mapped[float | None]
    mode: Mapped[str] = mapped_column(_WORD)
    state: Mapped[str] = mapped_column(_WORD)
    strategy: Mapped[str] = mapped_column(_WORD)
    goal: Mapped[str] = mapped_column(_WORD)
    scope: Mapped[str] = mapped_column(_WORD)
    shift: Mapped[int]
    verdict: Mapped[str] = mapped_column(_WORD)
    why: Mapped[str]
    saved_mb: Mapped[float]
    saved_mb_global: Mapped[float | None]
    approved_by: Mapped[str | None] = mapped_column(_NAME)
    abort: Mapped[bool]
    detail: Mapped[str]
    plan: Mapped[dict[str, Any]]


class Move(Base):
    """A live migration of a plan and how far it has come."""

    __tablename__ = "moves"
    __table_args__ = (
        Index("moves_plan_id_position", "plan_id", "position", unique=True),
        Index("moves_state", "state"),
        Index("moves_finished_at", "finished_at"),
        _OPTIONS,
    )

    id: Mapped[str] = mapped_column(_UUID, primary_key=True)
    plan_id: Mapped[str] = mapped_column(_UUID, ForeignKey("plans.id"))
    position: Mapped[int]
    guest: Mapped[str] = mapped_column(_UUID)
    source: Mapped[str] = mapped_column(_NAME)
    destination: Mapped[str] = mapped_column(_NAME)
    state: Mapped[str] = mapped_column(_WORD)
    holder: Mapped[str | None] = mapped_column(_NAME)
    claimed_at: Mapped[float | None]
    requested_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    baseline_id: Mapped[int | None]
    migration_id: Mapped[int | None]
    detail: Mapped[str]
    move: Mapped[dict[str, Any]]


class Lease(Base):
    """Who may do what only one may do, and until when."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(_WORD, primary_key=True)
    holder: Mapped[str] = mapped_column(_NAME)
    expires_at: Mapped[float]


class Switch(Base):
    """A switch that an operator has put on; no row means off."""

    __tablename__ = "switches"

    name: Mapped[str] = mapped_column(_WORD, primary_key=True)
    set_by: Mapped[str] = mapped_column(_NAME)
    reason: Mapped[str]
    set_at: Mapped[float]
