# SPDX-License-Identifier: Apache-2.0
"""Small values to put into a database."""

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.db import fingerprints, inventory, reports
from membuddies_nova.facts import GuestFacts, HostFacts, KsmFacts, Number
from membuddies_nova.plan import Goal, HostUse, Move, Plan, Unplaced, Verdict


def guest(uuid, host="h1", **facts):
    return Guest(uuid=uuid, name=uuid, memory_mb=1024, host=host, **facts)


def host(name, **facts):
    return Host(name=name, memory_mb=4096, **facts)


def place(database, now=0.0, /, **hosts):
    """Let Nova see each guest on its host: ``place(database, g1="h1")``."""
    names = sorted({name for name in hosts.values() if name is not None})
    with database.writer() as session:
        assert inventory.replace(
            session,
            [host(name) for name in names],
            [guest(uuid, at) for uuid, at in hosts.items()],
            now,
        )


def host_of(session, uuid):
    """Where Nova says that a guest is, None if nowhere or not known."""
    guests = {one.uuid: one.host for one in inventory.guests(session, 0.0)}
    return guests.get(uuid)


def store(session, uuid="g1", at="h1", number=(1, 1), digest=None, body=None, now=1.0):
    """Store a fingerprint whose digest and body follow from its number."""
    name = digest or f"digest-{number}"
    body = name.encode() if body is None else body
    return fingerprints.store(session, uuid, at, Number(*number), name, body, now, now)


def kept(database, uuid="g1"):
    """The stored fingerprint of a guest."""
    with database.reader() as session:
        (found,) = (
            one for one in fingerprints.changed_since(session, 0) if one.guest == uuid
        )
    return found


def reported(uuid="g1", counter=1, digest="d", scanned_at=1.0):
    return GuestFacts(uuid=uuid, counter=counter, digest=digest, scanned_at=scanned_at)


def host_facts(ksm=None, **facts):
    memory = {"mem_total_bytes": 8 << 30, "mem_available_bytes": 3 << 30}
    return HostFacts(**{**memory, **facts}, ksm=KsmFacts(**(ksm or {})))


def report(session, host="h1", number=(1, 1), facts=None, guests=(), now=1.0, **proof):
    """Store a report; its tag follows from its number."""
    proved = {"tag": f"tag-{number}", "key_id": "k1", **proof}
    return reports.store(
        session, host, Number(*number), facts or host_facts(), guests, now, **proved
    )


def move(uuid, source="h1", destination="h2", wave=1):
    return Move(
        wave=wave,
        guest=uuid,
        source=source,
        destination=destination,
        gain_mb=12.5,
        error_mb=0.75,
        copy_mb=1024.0,
        reason="its kin are there",
        checks=("headroom", "server-group"),
    )


def plan(*moves):
    return Plan(
        strategy="union",
        goal=Goal.SHARE,
        scope="project",
        shift=6,
        before={"h1": HostUse(pages=2560.5, guests=("g1", "g2"))},
        after={"h2": HostUse(pages=1280.25, guests=("g1", "g2"))},
        moves=moves,
        unplaced=(Unplaced(guest="g9", reason="no host has the memory"),),
        hosts_freed=("h1",),
        verdict=Verdict.MOVE,
        why="it saves 5 MB",
        placed_mb=1.5,
    )
