# SPDX-License-Identifier: Apache-2.0
"""Reading plain JSON from a sender that cannot be trusted.

For :mod:`messages`. Every reader takes one field and returns its value with its
type, or raises :class:`~membuddies_nova.exceptions.MessageError` with the
field's name. Sizes are looked at before anything is decoded.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from membuddies_nova.exceptions import MessageError

_Value = TypeVar("_Value")

MAX_NAME = 255
_MAX_NUMBER = 2**63 - 1
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DIGEST = re.compile(r"[0-9a-f]{32}")
_KEY_ID = re.compile(r"[0-9a-f]{16}")


def optional(
    message: Mapping[str, Any],
    field: str,
    read: Callable[[Mapping[str, Any], str], _Value],
) -> _Value | None:
    """What ``read`` makes of a field, None where that is missing or null."""
    return None if message.get(field) is None else read(message, field)


def mapping(value: object, field: str) -> Mapping[str, Any]:
    """A JSON object."""
    if not isinstance(value, Mapping):
        raise MessageError(field, "is not a mapping")
    return value


def sequence(message: Mapping[str, Any], field: str, most: int) -> list[Any]:
    """A JSON array of at most so many entries."""
    value = _present(message, field)
    if not isinstance(value, list):
        raise MessageError(field, "is not a list")
    if len(value) > most:
        raise MessageError(field, f"has {len(value)} entries, {most} are allowed")
    return value


def text(message: Mapping[str, Any], field: str, most: int = MAX_NAME) -> str:
    """A text that is not empty."""
    value = _present(message, field)
    if not isinstance(value, str) or not value:
        raise MessageError(field, "is not a text")
    if len(value) > most:
        raise MessageError(field, f"has {len(value)} characters, {most} are allowed")
    return value


def guest_uuid(message: Mapping[str, Any], field: str) -> str:
    """An instance's uuid in Nova's spelling: lower case, with hyphens."""
    return _matching(message, field, _UUID, "a uuid")


def digest(message: Mapping[str, Any], field: str) -> str:
    """32 lower-case hexadecimal digits."""
    return _matching(message, field, _DIGEST, "a digest of 32 hexadecimal digits")


def key_id(message: Mapping[str, Any], field: str) -> str:
    """16 lower-case hexadecimal digits."""
    return _matching(message, field, _KEY_ID, "a key id of 16 hexadecimal digits")


def count(message: Mapping[str, Any], field: str) -> int:
    """A whole number from 0 that fits a database's 64 bits."""
    value = _present(message, field)
    if isinstance(value, bool) or not isinstance(value, int):
        raise MessageError(field, "is not a whole number")
    if not 0 <= value <= _MAX_NUMBER:
        raise MessageError(field, "is outside 0 to 2^63 - 1")
    return value


def moment(message: Mapping[str, Any], field: str) -> float:
    """Seconds since the epoch, or a duration in seconds."""
    value = _present(message, field)
    if not _is_number(value, _MAX_NUMBER):
        raise MessageError(field, "is not a number of seconds from 0")
    return float(value)


def number(message: Mapping[str, Any], field: str, most: float) -> float:
    """A number from 0 to ``most``."""
    value = _present(message, field)
    if not _is_number(value, most):
        raise MessageError(field, f"is not a number from 0 to {most:g}")
    return float(value)


def body(message: Mapping[str, Any], field: str, most_bytes: int) -> bytes:
    """Bytes that travel as base64 text; one text for each value.

    Too long a text is refused without decoding it.
    """
    value = _present(message, field)
    if not isinstance(value, str):
        raise MessageError(field, "is not a text")
    if len(value) > encoded_length(most_bytes):
        raise MessageError(
            field,
            f"has {len(value)} characters, {encoded_length(most_bytes)} are allowed",
        )
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise MessageError(field, "is not base64, or was cut short") from None
    if len(data) > most_bytes:
        raise MessageError(field, f"has {len(data)} bytes, {most_bytes} are allowed")
    if base64.b64encode(data).decode() != value:
        raise MessageError(field, "is not base64 as it is written")
    return data


def encoded_length(count_bytes: int) -> int:
    """Characters of so many bytes as base64."""
    return (count_bytes + 2) // 3 * 4


def _present(message: Mapping[str, Any], field: str) -> Any:
    if field not in message:
        raise MessageError(field, "is missing")
    return message[field]


def _matching(
    message: Mapping[str, Any], field: str, pattern: re.Pattern[str], what: str
) -> str:
    value = _present(message, field)
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise MessageError(field, f"is not {what}")
    return value


def _is_number(value: object, most: float) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and 0 <= value <= most
    )
