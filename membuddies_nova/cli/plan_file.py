# SPDX-License-Identifier: Apache-2.0
"""Plans as JSON files, as ``membuddies plan -f json`` writes them.

``SCHEMA`` is the shape of what is written (JSON Schema, draft 2020-12). Reading
needs less of it, and names what is wrong in one line.
"""

import pathlib
from typing import Any

from membuddies_nova.cli.fields import Fields
from membuddies_nova.plan import Goal, HostUse, Move, Plan, Unplaced, Verdict

_MAX_COUNT = 2**31
_MAX_MB = 2.0**40

_TEXT = {"type": "string", "minLength": 1}
_NUMBER = {"type": "number"}
_TEXTS = {"type": "array", "items": _TEXT}
_USES = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "required": ["pages", "mb", "guests"],
        "properties": {
            "pages": {"type": "integer", "minimum": 0},
            "mb": _NUMBER,
            "guests": _TEXTS,
        },
    },
}
_MOVE = {
    "type": "object",
    "required": [
        "wave", "guest", "from", "to", "gain_mb", "error_mb", "copy_mb", "reason",
    ],
    "properties": {
        "wave": {"type": "integer", "minimum": 0},
        "guest": _TEXT,
        "from": {"type": ["string", "null"]},
        "to": _TEXT,
        "gain_mb": _NUMBER,
        "error_mb": {"type": "number", "minimum": 0},
        "copy_mb": {"type": "number", "minimum": 0},
        "reason": _TEXT,
        "checks": _TEXTS,
        "needs": {"type": "array", "items": {"type": "integer", "minimum": 0}},
    },
}  # fmt: skip
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "A plan of Memory Buddies for Nova",
    "type": "object",
    "required": [
        "strategy", "goal", "scope", "shift", "before", "after", "before_mb",
        "after_mb", "saved_mb", "hosts_freed", "moves", "unplaced", "verdict", "why",
    ],
    "properties": {
        "strategy": {"enum": ["union", "original"]},
        "goal": {"enum": [goal.value for goal in Goal]},
        "scope": {"enum": ["project", "group", "global"]},
        "shift": {"type": "integer", "minimum": 0, "maximum": 63},
        "before": _USES,
        "after": _USES,
        "before_mb": _NUMBER,
        "after_mb": _NUMBER,
        "saved_mb": _NUMBER,
        "hosts_freed": _TEXTS,
        "moves": {"type": "array", "items": _MOVE},
        "unplaced": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["guest", "reason"],
                "properties": {"guest": _TEXT, "reason": _TEXT},
            },
        },
        "verdict": {"enum": [verdict.value for verdict in Verdict]},
        "why": _TEXT,
    },
}  # fmt: skip


def read_plan(path: pathlib.Path) -> Plan:
    """Read a plan.

    :raises InputError: naming the file and the field
    """
    top = Fields.of_file(path)
    before, after = _uses(top, "before"), _uses(top, "after")
    moves = tuple(_move(entry) for entry in top.entries("moves"))
    for at, move in enumerate(moves):
        if any(needed >= at for needed in move.needs):
            top.wrong(f"moves[{at}].needs", "must name earlier moves")
    saved_mb = top.number("saved_mb", -_MAX_MB, _MAX_MB)
    before_mb = sum(use.mb for use in before.values())
    after_mb = sum(use.mb for use in after.values())
    return Plan(
        strategy=top.word("strategy", ("union", "original")),
        goal=Goal(top.word("goal", [goal.value for goal in Goal])),
        scope=top.word("scope", ("project", "group", "global")),
        shift=top.whole("shift", 0, 63),
        before=before,
        after=after,
        moves=moves,
        unplaced=tuple(
            Unplaced(guest=entry.text("guest"), reason=entry.text("reason"))
            for entry in top.entries("unplaced")
        ),
        hosts_freed=top.texts("hosts_freed"),
        verdict=Verdict(top.word("verdict", [verdict.value for verdict in Verdict])),
        why=top.text("why"),
        placed_mb=saved_mb - before_mb + after_mb,
    )


def _uses(top: Fields, name: str) -> dict[str, HostUse]:
    hosts = top.fields(name)
    return {
        host: HostUse(
            pages=use.number("pages", 0.0, _MAX_MB * 256), guests=use.texts("guests")
        )
        for host, use in hosts.items()
    }


def _move(entry: Fields) -> Move:
    return Move(
        wave=entry.whole("wave", 0, _MAX_COUNT),
        guest=entry.text("guest"),
        source=entry.optional_text("from"),
        destination=entry.text("to"),
        gain_mb=entry.number("gain_mb", -_MAX_MB, _MAX_MB),
        error_mb=entry.number("error_mb", 0.0, _MAX_MB),
        copy_mb=entry.number("copy_mb", 0.0, _MAX_MB),
        reason=entry.text("reason"),
        checks=entry.texts("checks"),
        needs=entry.wholes("needs", 0, _MAX_COUNT),
    )
