# SPDX-License-Identifier: Apache-2.0
"""The values of the lowest layer as the JSON columns keep them.

For the other modules of this package. What one release wrote another must read:
keys that are not known are ignored, keys that are missing get their default.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from membuddies_nova.cluster import Aggregate, Guest, Host, Image, ServerGroup
from membuddies_nova.facts import GuestFacts, Reason
from membuddies_nova.plan import Goal, HostUse, Move, Plan, Unplaced, Verdict

JsonObject = dict[str, Any]


def host_to_json(host: Host) -> JsonObject:
    """All of a host but what its newest report says better."""
    return _without(
        host,
        "ksm",
        "numa_nodes",
        "pressure",
        "available_mb",
        "sharing_mb",
        "swap_in_pages_per_second",
    )


def host_from_json(facts: JsonObject, **newest: Any) -> Host:
    """A host; ``newest`` are the fields that its report gives."""
    known = _known(Host, facts)
    known["aggregates"] = tuple(
        Aggregate(**_known(Aggregate, entry)) for entry in facts.get("aggregates", ())
    )
    if known.get("cpu_traits") is not None:
        known["cpu_traits"] = tuple(known["cpu_traits"])
    return Host(**{**known, **newest})


def guest_to_json(guest: Guest) -> JsonObject:
    """All of a guest but what has columns of its own, or is recorded elsewhere."""
    return _without(
        guest,
        "uuid",
        "host",
        "age_seconds",
        "last_moved_seconds",
        "left_hosts",
        "refused_seconds",
        "pinned_memory",
        "change_fraction_per_hour",
    )


def guest_from_json(facts: JsonObject, **columns: Any) -> Guest:
    """A guest; ``columns`` are the fields that have columns of their own."""
    known = _known(Guest, facts)
    if known.get("group") is not None:
        known["group"] = ServerGroup(**_known(ServerGroup, known["group"]))
    return Guest(**{**known, **columns})


def image_to_json(image: Image) -> JsonObject:
    """All of an image but its id."""
    return _without(image, "id")


def image_from_json(image: str, facts: JsonObject) -> Image:
    return Image(**{**_known(Image, facts), "id": image})


def guest_facts_from_json(value: JsonObject) -> GuestFacts:
    known = _known(GuestFacts, value)
    if known.get("reason") is not None:
        known["reason"] = Reason(known["reason"])
    return GuestFacts(**known)


def move_from_json(value: JsonObject) -> Move:
    known = _known(Move, value)
    return Move(
        **{
            **known,
            "checks": tuple(known.get("checks", ())),
            "needs": tuple(known.get("needs", ())),
        }
    )


def plan_from_json(value: JsonObject) -> Plan:
    known = _known(Plan, value)
    for name in ("before", "after"):
        known[name] = {
            host: HostUse(pages=use["pages"], guests=tuple(use["guests"]))
            for host, use in known[name].items()
        }
    known["goal"] = Goal(known["goal"])
    known["verdict"] = Verdict(known["verdict"])
    known["moves"] = tuple(move_from_json(move) for move in known["moves"])
    known["unplaced"] = tuple(
        Unplaced(**_known(Unplaced, entry)) for entry in known["unplaced"]
    )
    known["hosts_freed"] = tuple(known["hosts_freed"])
    return Plan(**known)


def _without(value: Host | Guest | Image, *names: str) -> JsonObject:
    return {
        name: item
        for name, item in dataclasses.asdict(value).items()
        if name not in names
    }


def _known(cls: type, value: Mapping[str, Any]) -> JsonObject:
    return {
        field.name: value[field.name]
        for field in dataclasses.fields(cls)
        if field.name in value
    }
