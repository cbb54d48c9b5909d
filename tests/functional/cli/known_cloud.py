# SPDX-License-Identifier: Apache-2.0
"""A small cloud in a real database, as controller and agents would fill it.

Two hosts. On c1: web-1 and web-2 of project red, db-1 of project blue; on c2: lone
of red, without a fingerprint. web-1 and web-2 have 2 MB in common, web-1 and db-1
another 1 MB. Samples keep every page, so all numbers are exact.
"""

import dataclasses

import numpy as np

from membuddies_nova.cluster import Guest, Host, KsmState
from membuddies_nova.db import fingerprints, inventory, plans, reports, services
from membuddies_nova.db.api import Database
from membuddies_nova.facts import GuestFacts, HostFacts, KsmFacts, Number, Reason
from membuddies_nova.fingerprint import codec
from membuddies_nova.fingerprint.page import zero_page_id
from membuddies_nova.fingerprint.sample import Sample
from membuddies_nova.fingerprint.seal import SealKey
from membuddies_nova.plan import Goal, HostUse, Move, Plan, Verdict

PAGES_PER_MB = 256
WEB_1, WEB_2, DB_1, LONE = (f"{n}1111111-1111-4111-8111-111111111111" for n in "abcd")
KEY = SealKey(bytes(range(32)))
OTHER_KEY = SealKey(bytes(range(1, 33)))

HOSTS = [
    Host(name="c1", memory_mb=4096, hypervisor_type="QEMU"),
    Host(name="c2", memory_mb=2048, hypervisor_type="QEMU"),
]
GUESTS = [
    Guest(uuid=WEB_1, name="web-1", memory_mb=16, host="c1", project="red", image="i1"),
    Guest(uuid=WEB_2, name="web-2", memory_mb=16, host="c1", project="red", image="i1"),
    Guest(uuid=DB_1, name="db-1", memory_mb=16, host="c1", project="blue"),
    Guest(uuid=LONE, name="lone", memory_mb=16, host="c2", project="red"),
]
_IDS = np.random.default_rng(7).integers(2**64, size=20 * PAGES_PER_MB, dtype=np.uint64)


def megabytes(start: int, end: int) -> np.ndarray:
    """Distinct pages, the same for the same numbers."""
    return _IDS[start * PAGES_PER_MB : end * PAGES_PER_MB]


# In MB: web-1 has 0-8, of which 0-1 twice, and 1 of zeros; web-2 6-10; db-1 1-2, 12-15.
PAGES = {
    WEB_1: np.concatenate(
        (
            megabytes(0, 8),
            megabytes(0, 1),
            np.full(PAGES_PER_MB, zero_page_id(), np.uint64),
        )
    ),
    WEB_2: megabytes(6, 10),
    DB_1: np.concatenate((megabytes(1, 2), megabytes(12, 15))),
}


def fill(
    database: Database,
    now: float,
    keys: dict[str, SealKey] | None = None,
    host_key: SealKey | None = None,
) -> None:
    """Everything is ten seconds old.

    :param keys: under which a guest's fingerprint is sealed, if not under KEY
    :param host_key: of the agent on c2, if not KEY
    """
    past = now - 10
    with database.writer() as session:
        inventory.replace(session, HOSTS, GUESTS, past)
        reports.store(
            session,
            "c1",
            Number(1, 1),
            host_facts(KsmState.MERGING, pages_sharing=3 * PAGES_PER_MB, smart_scan=0),
            [
                GuestFacts(
                    uuid=uuid,
                    counter=1,
                    digest="00",
                    scanned_at=past,
                    change_fraction_per_hour=0.05,
                )
                for uuid in PAGES
            ],
            past,
            tag="",
            key_id=KEY.key_id.hex(),
        )
        reports.store(
            session,
            "c2",
            Number(1, 1),
            host_facts(KsmState.OFF, pages_sharing=0, smart_scan=1),
            [GuestFacts(uuid=LONE, reason=Reason.HUGE_PAGES)],
            past,
            tag="",
            key_id=(host_key or KEY).key_id.hex(),
        )
        services.beat(session, "membuddies-controller", "ctl", past, {})
        services.beat(
            session,
            "membuddies-rebalancer",
            "ctl",
            past,
            {"mode": "recommend", "leader": True},
        )
    for uuid, pages in PAGES.items():
        key = (keys or {}).get(uuid, KEY)
        body = codec.encode(Sample.of_pages(pages, shift=0).sealed(key))
        with database.writer() as session:
            fingerprints.store(
                session, uuid, "c1", Number(1, 1), codec.digest(body), body, past, past
            )


def host_facts(state: KsmState, pages_sharing: int, smart_scan: int) -> HostFacts:
    return HostFacts(
        mem_total_bytes=4 * 2**30,
        mem_available_bytes=2**30,
        ksm=KsmFacts(
            state=state,
            run=int(state is KsmState.MERGING),
            pages_sharing=pages_sharing,
            smart_scan=smart_scan,
            full_scan_age_seconds=5.0,
        ),
    )


def report(database: Database, host: str, now: float, **ksm: object) -> None:
    """A newer report of a host, with another state of KSM."""
    facts = host_facts(KsmState.MERGING, 0, 0)
    facts = dataclasses.replace(facts, ksm=dataclasses.replace(facts.ksm, **ksm))
    with database.writer() as session:
        number = Number(int(now * 1000), 1)
        key_id = KEY.key_id.hex()
        reports.store(session, host, number, facts, [], now, tag="", key_id=key_id)


def add_plan(
    database: Database,
    now: float,
    state: str = "proposed",
    expires_at: float | None = None,
) -> str:
    """A plan that brings lone to its kin."""
    uses = {
        "c1": HostUse(pages=3328, guests=(WEB_1, WEB_2, DB_1)),
        "c2": HostUse(pages=4096, guests=(LONE,)),
    }
    move = Move(
        wave=1,
        guest=LONE,
        source="c2",
        destination="c1",
        gain_mb=4.5,
        error_mb=0.5,
        copy_mb=16.0,
        reason="it shares 4.5 MB with guests there",
    )
    plan = Plan(
        strategy="union",
        goal=Goal.SHARE,
        scope="project",
        shift=0,
        before=uses,
        after={
            "c1": HostUse(pages=6272, guests=(WEB_1, WEB_2, DB_1, LONE)),
            "c2": HostUse(pages=0, guests=()),
        },
        moves=(move,),
        unplaced=(),
        hosts_freed=("c2",),
        verdict=Verdict.MOVE,
        why="it saves 4.5 MB",
    )
    mode = "observe" if state == "observed" else "recommend"
    with database.writer() as session:
        return plans.create(
            session, plan, mode=mode, state=state, now=now, expires_at=expires_at
        )
