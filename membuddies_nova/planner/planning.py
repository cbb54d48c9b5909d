# SPDX-License-Identifier: Apache-2.0
"""From a snapshot to a plan: which search runs, and what its verdict says."""

import dataclasses

from membuddies_nova import exceptions
from membuddies_nova.cluster import Scope
from membuddies_nova.model.occupancy import Occupancy
from membuddies_nova.model.sharing import PAGES_PER_MB, SharingModel
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.plan import Goal, Plan
from membuddies_nova.planner import consolidate, placement, relieve, share
from membuddies_nova.planner.dependence import needs
from membuddies_nova.planner.draft import Draft, uses
from membuddies_nova.planner.limits import Limits
from membuddies_nova.planner.original import original_plan
from membuddies_nova.planner.rules import RULES, RuleBook

STRATEGIES = ("union", "original")

_NAMED_HOSTS = 5


def plan(
    snapshot: ClusterSnapshot,
    *,
    goal: Goal = Goal.SHARE,
    strategy: str = "union",
    scope: Scope = Scope.PROJECT,
    limits: Limits | None = None,
    evaluations: int | None = None,
    seed: int = 0,
    rules: RuleBook = RULES,
) -> Plan:
    """Plan migrations, or find that everything had better stay.

    The same arguments give the same plan.

    :param strategy: ``union``, or ``original`` for the published rule, which
        ignores every argument but the snapshot and cannot be run
    :param limits: None for the defaults of :class:`Limits`
    :param evaluations: work budget: gains that the search may compute, None
        for as many as it takes
    :param seed: of the choices that the search makes at random
    :param rules: the hard rules; every move of the plan has passed them all
    :raises InputError: for an unknown strategy, or a goal or a combination that
        is not available
    """
    if strategy not in STRATEGIES:
        raise exceptions.InputError(
            f"strategy {strategy!r} is not known; use one of {', '.join(STRATEGIES)}"
        )
    if strategy == "original":
        if goal is not Goal.SHARE:
            raise exceptions.InputError("strategy 'original' knows only the goal share")
        scope = Scope.GLOBAL

    limits = limits or Limits()
    try:
        model = SharingModel(snapshot, scope)
    except exceptions.IncompatibleFingerprintsError as error:
        model = SharingModel(snapshot, scope, across_keys=True)
        why = f"{error}; {_sides(snapshot, error.attribute)}"
        return Draft(snapshot, model, limits, rules).plan(strategy, goal, why)
    if strategy == "original":
        return original_plan(snapshot, model)

    start = draft = Draft(snapshot, model, limits, rules)
    budget = share.Budget(evaluations)
    draft = draft.fork()
    placement.place(draft)
    if goal is Goal.CONSOLIDATE:
        draft, reason = consolidate.empty_hosts(draft)
    elif goal is Goal.RELIEVE:
        draft, reason = relieve.relieve(draft)
    else:
        draft, reason = share.improve(draft, budget, seed)
    planned = draft.plan(strategy, goal, _why(draft, goal, reason))
    return dataclasses.replace(
        planned,
        moves=tuple(
            dataclasses.replace(move, needs=needed)
            for move, needed in zip(
                planned.moves, needs(start, planned.moves), strict=True
            )
        ),
    )


def rescoped(snapshot: ClusterSnapshot, planned: Plan, scope: Scope) -> Plan:
    """The same moves with their numbers at another trust scope.

    A plan is decided at the operator's scope; what KSM will do with it is told
    by ``Scope.GLOBAL``.

    :param snapshot: the one that the plan was made of
    """
    model = SharingModel(snapshot, scope, across_keys=True)
    occupancy = Occupancy(
        model,
        snapshot.hosts,
        {guest.uuid: guest.host for guest in snapshot.guests},
    )
    before = uses(snapshot, occupancy)
    moves = []
    for move in planned.moves:
        gain = occupancy.net_gain(move.guest, move.destination)
        occupancy.move(move.guest, move.destination)
        moves.append(dataclasses.replace(move, gain_mb=gain.mb, error_mb=gain.error_mb))
    return dataclasses.replace(
        planned,
        scope=scope.value,
        shift=model.shift,
        before=before,
        after=uses(snapshot, occupancy),
        moves=tuple(moves),
    )


def _sides(snapshot: ClusterSnapshot, attribute: str) -> str:
    """Which guests have which of the keys or seeds, for whoever mends it."""
    sides: dict[str, list[str | None]] = {}
    for guest in snapshot.guests:
        sample = snapshot.samples.get(guest.uuid)
        if sample is not None:
            value = str(sample.seed) if attribute == "seed" else sample.key_id.hex()
            sides.setdefault(value, []).append(guest.host)
    sentences = []
    for value, places in sorted(sides.items(), key=lambda side: -len(side[1])):
        hosts = sorted({host for host in places if host is not None})
        named = ", ".join(hosts[:_NAMED_HOSTS])
        more = len(hosts) - _NAMED_HOSTS
        sentences.append(
            f"{value}: {len(places)} {'guest' if len(places) == 1 else 'guests'}"
            f"{f' on {named}' if named else ''}"
            f"{f' and {more} more hosts' if more > 0 else ''}"
        )
    return "; ".join(sentences)


def _why(draft: Draft, goal: Goal, reason: str) -> str:
    """The verdict's reason, and facts that an operator should not overlook."""
    sentences = []
    if draft.moves and goal is not Goal.RELIEVE:
        count = len(draft.moves)
        gain_mb = sum(move.gain_mb for move in draft.moves)
        sentences.append(
            f"{count} {'move' if count == 1 else 'moves'}, {gain_mb:.0f} MB more "
            f"shared; then {reason}"
        )
    else:
        sentences.append(reason)
    if draft.hosts_freed:
        sentences.append(
            f"disable {', '.join(draft.hosts_freed)}, which would be free, or the "
            f"scheduler fills it again"
        )
    overfull = [
        host.name
        for host in draft.snapshot.hosts
        if draft.occupancy.pages(host.name) / PAGES_PER_MB > host.real_memory_mb
    ]
    if overfull:
        sentences.append(
            f"{', '.join(overfull)} would still hold more than the memory there is"
        )
    unknown = len(draft.snapshot.guests) - len(draft.snapshot.samples)
    if unknown:
        sentences.append(
            f"{unknown} {'guest has' if unknown == 1 else 'guests have'} no "
            f"fingerprint and count whole"
        )
    return "; ".join(sentences)
