# SPDX-License-Identifier: Apache-2.0
"""Replays a plan move by move and names every rule that it breaks.

Written apart from the planner on purpose: it knows nothing of page classes,
occupancies or drafts, computes with plain sets, and reads the rules from the
project's promises. Works on snapshots of exact lists (shift 0).
"""

import collections
import itertools

from membuddies_nova.cluster import KsmState, Scope
from membuddies_nova.model.snapshot import ClusterSnapshot
from membuddies_nova.plan import Plan, Verdict
from membuddies_nova.planner import Limits

PAGES_PER_MB = 256


def problems(
    snapshot: ClusterSnapshot,
    plan: Plan,
    limits: Limits,
    scope: Scope = Scope.PROJECT,
) -> list[str]:
    """What is wrong with a plan; empty if nothing is."""
    return list(_Replay(snapshot, plan, limits, scope).problems())


class _Replay:
    def __init__(self, snapshot, plan, limits, scope):
        self.snapshot, self.plan, self.limits = snapshot, plan, limits
        self.hosts = {host.name: host for host in snapshot.hosts}
        self.guests = {guest.uuid: guest for guest in snapshot.guests}
        self.where = {guest.uuid: guest.host for guest in snapshot.guests}
        self.pages = {}
        for guest in snapshot.guests:
            sample = snapshot.samples.get(guest.uuid)
            if sample is None:
                items = {(guest.uuid, n) for n in range(guest.memory_mb * 256)}
            else:
                assert sample.shift == 0
                key = guest.scope_key(scope)
                items = {(key, item) for item in sample.items.tolist()}
            self.pages[guest.uuid] = frozenset(items)

    def union(self, host):
        return frozenset().union(
            *(self.pages[g] for g, at in self.where.items() if at == host)
        )

    def held(self, host):
        """Pages after merging, as far as the host's KSM can be counted on."""
        here = [len(self.pages[g]) for g, at in self.where.items() if at == host]
        merged = self.fraction(host) * (sum(here) - len(self.union(host)))
        return sum(here) - merged

    def fraction(self, host):
        facts = self.hosts[host]
        return 0 if facts.ksm is KsmState.OFF else 1 / facts.numa_nodes

    def resident_mb(self, guest):
        sample = self.snapshot.samples.get(guest.uuid)
        if sample is None:
            return guest.memory_mb
        return sample.counters.resident_pages / PAGES_PER_MB

    def copied_mb(self, guest):
        """Each pass copies what changed in the one before; no more than a hundred."""
        first = left = self.resident_mb(guest)
        changed = (guest.change_fraction_per_hour or 0) / 3600 * left
        total = 0.0
        while left > 1e-12 and total < 100 * first:
            total += left
            left *= changed / self.limits.copy_mb_per_second
        return min(total, 100 * first)

    def cost_mb(self, guest):
        hours = min(
            float("inf") if guest.age_seconds is None else guest.age_seconds / 3600,
            1 / (guest.change_fraction_per_hour or 1e-300),
        )
        price = self.copied_mb(guest) * self.limits.copy_hours
        return max(self.limits.min_gain_mb, 4e-6) + price / max(hours, 1 / 3600)

    def problems(self):
        plan, limits = self.plan, self.limits
        before = {host: self.held(host) for host in self.hosts}
        used = {h for h in self.where.values() if h is not None}
        if not _same(before, {host: use.pages for host, use in plan.before.items()}):
            yield "before: pages are not those of the unions"
        if limits.max_moves is not None and len(plan.moves) > limits.max_moves:
            yield "max-moves: too many"
        guests = [move.guest for move in plan.moves]
        if any(guests.count(guest) > 2 for guest in guests):
            yield "twice: a guest is moved more than twice"
        moved = [move for move in plan.moves if move.source is not None]
        least = sum(
            self.cost_mb(self.guests[uuid]) for uuid in {move.guest for move in moved}
        )
        gain = sum(move.gain_mb for move in moved)
        if plan.goal == "share" and moved and gain <= least:
            yield "net-benefit: the moves save less than they have to"
        waves = [move.wave for move in plan.moves]
        if waves != sorted(waves) or set(waves) != set(range(1, len(set(waves)) + 1)):
            yield "waves: not numbered in order from 1"

        filled = self.filled()
        needy = self.needy(filled)
        for _, wave in itertools.groupby(plan.moves, lambda move: move.wave):
            yield from self.wave_problems(list(wave))
        if plan.goal == "relieve" and moved:
            yield from self.relief_problems(needy, filled)

        after = {host: self.held(host) for host in self.hosts}
        if not _same(after, {host: use.pages for host, use in plan.after.items()}):
            yield "after: pages are not those of the unions"
        for host, use in plan.after.items():
            if set(use.guests) != {g for g, at in self.where.items() if at == host}:
                yield f"after: other guests are on {host}"
        still_used = {h for h in self.where.values() if h is not None}
        if set(plan.hosts_freed) != used - still_used:
            yield "hosts-freed: others are freed"
        placed = sum(len(self.pages[m.guest]) for m in plan.moves if m.source is None)
        saved = (sum(before.values()) + placed - sum(after.values())) / PAGES_PER_MB
        if abs(plan.saved_mb - saved) > 1e-9:
            yield "saved: not the difference of the unions"
        homeless = {g for g, at in self.where.items() if at is None}
        if {guest.guest for guest in plan.unplaced} != homeless:
            yield "unplaced: others have no host"
        if (plan.verdict is Verdict.MOVE) != bool(plan.moves):
            yield "verdict: does not agree with the moves"

    def filled(self):
        """What the hosts hold before relief: guests are placed before any moves."""
        where = self.where
        self.where = where | {
            move.guest: move.destination
            for move in self.plan.moves
            if move.source is None
        }
        held = {host: self.held(host) for host in self.hosts}
        self.where = where
        return held

    def needy(self, before):
        """Hosts that need relief, each with what it may hold for it to have ended."""
        targets = {}
        for name, host in self.hosts.items():
            room = (host.memory_mb - host.reserved_mb) * PAGES_PER_MB
            pressed = (host.pressure or 0) >= self.limits.pressure
            if name in self.where.values() and (pressed or before[name] > room):
                freed = self.limits.relief_fraction * room if pressed else 0
                targets[name] = min(room, before[name] - freed) if pressed else room
        return targets

    def relief_problems(self, needy, before):
        def fill(name, pages):
            host = self.hosts[name]
            return pages[name] / max(host.memory_mb - host.reserved_mb, 1)

        after = {name: self.held(name) for name in self.hosts}
        ended = [name for name in needy if after[name] <= needy[name] + 1e-6]
        if not ended:
            yield "relieve: no host's need has ended"
        fullest = max((fill(name, before) for name in needy), default=0)
        for name in self.hosts:
            if after[name] <= before[name] + 1e-6:
                continue
            if name in needy:
                yield f"relieve: {name} is in need itself and holds more"
            elif fill(name, after) >= fullest:
                yield f"relieve: the need is only shifted to {name}"

    def wave_problems(self, wave):
        """Check a wave whose moves may run and end in any order."""
        start = {host: self.held(host) / PAGES_PER_MB for host in self.hosts}
        uses = collections.Counter()
        arriving_mb = collections.Counter()
        # A moving guest counts on both of its hosts.
        present = collections.defaultdict(set)
        for guest, host in self.where.items():
            present[host].add(guest)
            if self.guests[guest].other_host is not None:
                present[self.guests[guest].other_host].add(guest)
        # Who is on a host whatever becomes of the wave.
        staying = {
            guest: host
            for guest, host in self.where.items()
            if guest not in {move.guest for move in wave}
            and self.guests[guest].other_host is None
        }
        for move in wave:
            present[move.destination].add(move.guest)

        for move in wave:
            guest = self.guests[move.guest]
            host = self.hosts[move.destination]
            if move.source != self.where[move.guest]:
                yield f"source: {move.guest} is elsewhere"
            if move.source == move.destination:
                yield f"destination: {move.guest} is there already"
            yield from self.static_problems(move, guest, host)
            yield from self.group_problems(move, guest, present)
            yield from self.neighbour_problems(move, guest, present, staying)
            uses.update(
                name for name in (move.source, move.destination) if name is not None
            )
            arriving_mb[host.name] += guest.memory_mb + host.overhead_mb
            yield from self.gain_problems(move)
            self.where[move.guest] = move.destination

        for name, host in self.hosts.items():
            if uses[name] > self.limits.moves_per_host:
                yield f"moves-per-host: {name}"
            if not arriving_mb[name]:
                continue
            under_way_mb = sum(
                guest.memory_mb + host.overhead_mb
                for guest in self.guests.values()
                if guest.other_host == name != guest.host
            )
            needed_mb = start[name] + arriving_mb[name] + under_way_mb
            if needed_mb > host.memory_mb - host.reserved_mb + 1e-9:
                yield f"headroom: {name}"
            if host.available_mb is not None and arriving_mb[name] > host.available_mb:
                yield f"available-memory: {name}"
            guests = [self.guests[uuid] for uuid in present[name]]
            for rule, total, reserved, ratio, claims in (
                ("placement-memory", host.memory_mb, host.reserved_mb,
                 host.ram_allocation_ratio, [g.memory_mb for g in guests]),
                ("placement-vcpu", host.vcpus, host.reserved_vcpus,
                 host.cpu_allocation_ratio, [g.vcpus for g in guests]),
                ("placement-disk", host.disk_gb, host.reserved_disk_gb,
                 host.disk_allocation_ratio, [g.disk_gb for g in guests]),
            ):  # fmt: skip
                if total is not None and sum(claims) > (total - reserved) * ratio:
                    yield f"{rule}: {name}"

    def static_problems(self, move, guest, host):
        checks = {
            "host-disabled": not host.enabled,
            "host-down": not host.up,
            "ksm": host.ksm is KsmState.UNKNOWN,
            "isolation": host.trust_group is not None
            and host.trust_group != guest.trust_group,
            "cell": guest.cell is not None
            and host.cell is not None
            and guest.cell != host.cell,
            "pinned-zone": guest.pinned_zone is not None
            and guest.pinned_zone != host.zone,
            "cycle": guest.left_hosts.get(host.name, 10**9) < self.limits.cycle_seconds,
            "aggregate-extra-specs": guest.extra_specs.get(
                "aggregate_instance_extra_specs:disk"
            )
            not in (None, *(a.metadata.get("disk") for a in host.aggregates)),
            "aggregate-tenants": any(
                guest.project not in a.metadata["filter_tenant_id"].split(",")
                for a in host.aggregates
                if "filter_tenant_id" in a.metadata
            ),
        }
        if move.source is not None:
            source = self.hosts[move.source]
            checks |= {
                "opted-out": not guest.movable,
                "locked": guest.locked,
                "not-active": guest.status != "ACTIVE"
                or guest.power_state not in (None, 1),
                "busy": guest.task_state is not None,
                "migrating": guest.migrating,
                "cooldown": guest.last_moved_seconds is not None
                and guest.last_moved_seconds < self.limits.cooldown_seconds,
                "last-move-refused": guest.refused_seconds is not None
                and guest.refused_seconds < self.limits.refused_seconds,
                "changes-too-fast": (guest.change_fraction_per_hour or 0)
                * self.resident_mb(guest)
                / 3600
                > 50,
                "pinned-cpus": guest.extra_specs.get("hw:cpu_policy") == "dedicated",
                "pinned-memory": guest.pinned_memory,
                "huge-pages": "hw:mem_page_size" in guest.extra_specs,
                "pci-devices": "pci_passthrough:alias" in guest.extra_specs,
                "encrypted-memory": "hw:mem_encryption" in guest.extra_specs,
                "scheduler-hint": "query" in guest.hints,
                "cpu": None not in (source.cpu_traits, host.cpu_traits)
                and not {*source.cpu_traits} <= {*host.cpu_traits},
                "source-down": not source.up,
                "hypervisor": (source.hypervisor_type or "")
                != (host.hypervisor_type or source.hypervisor_type or "")
                or (host.hypervisor_version or 10**9)
                < (source.hypervisor_version or 0),
            }
        for rule, broken in checks.items():
            if broken:
                yield f"{rule}: {move.guest} to {move.destination}"

    def group_problems(self, move, guest, present):
        if guest.group is None:
            return
        others = [
            uuid
            for uuid, other in self.guests.items()
            if uuid != guest.uuid
            and other.group is not None
            and other.group.name == guest.group.name
        ]

        def together(host):
            return sum(uuid in present[host] for uuid in others)

        elsewhere = sum(
            any(uuid in at for host, at in present.items() if host not in (None, dest))
            for dest in [move.destination]
            for uuid in others
        )
        policy = guest.group.policy
        there = together(move.destination)
        here = together(move.source) if move.source is not None else None
        broken = {
            "affinity": elsewhere > 0,
            "anti-affinity": there >= guest.group.max_server_per_host,
            "soft-affinity": here is not None and there < here,
            "soft-anti-affinity": here is not None and there > here,
        }[policy]
        if broken:
            yield f"{policy}: {move.guest} to {move.destination}"

    def neighbour_problems(self, move, guest, present, staying):
        """Hints and trust scopes: beside whom a guest may be."""

        def named(other, hint):
            return {*self.guests[other].hints.get(hint, "").split(",")} - {""}

        uuid, host = guest.uuid, self.hosts[move.destination]
        beside = present[move.destination] - {uuid}
        if any(
            other in named(uuid, "different_host")
            or uuid in named(other, "different_host")
            for other in beside
        ):
            yield f"different-host: {uuid} to {move.destination}"
        wanted = named(uuid, "same_host")
        alone = wanted and not any(
            staying.get(other) == move.destination for other in wanted
        )
        left = {g for g, at in staying.items() if at == move.source} - {uuid}
        deserted = any(
            uuid in named(other, "same_host") and not named(other, "same_host") & left
            for other in left
        )
        if alone or (move.source is not None and deserted):
            yield f"same-host: {uuid} to {move.destination}"
        merges = not (host.ksm_free and host.ksm is KsmState.OFF)
        if (
            self.limits.scopes_apart
            and merges
            and any(
                (self.guests[other].trust_group or "", self.guests[other].project)
                != (guest.trust_group or "", guest.project)
                and not (
                    guest.trust_group
                    and self.guests[other].trust_group == guest.trust_group
                )
                for other in beside
            )
        ):
            yield f"trust-scopes: {uuid} to {move.destination}"

    def gain_problems(self, move):
        guest, items = move.guest, self.pages[move.guest]
        self.where[guest] = None
        won = len(items & self.union(move.destination)) * self.fraction(
            move.destination
        )
        lost = 0
        if move.source is not None:
            lost = len(items & self.union(move.source)) * self.fraction(move.source)
        self.where[guest] = move.source
        if abs(move.gain_mb * PAGES_PER_MB - (won - lost)) > 1e-6:
            yield f"gain: {guest} gains {won - lost} pages"
        first = move.source is None
        if (
            abs(move.copy_mb - (0 if first else self.copied_mb(self.guests[guest])))
            > 1e-6
        ):
            yield f"copy: {guest} copies otherwise"


def _same(pages, told):
    """Whether both name the same hosts and, but for rounding, the same pages."""
    return pages.keys() == told.keys() and all(
        abs(pages[host] - told[host]) < 1e-6 for host in pages
    )
