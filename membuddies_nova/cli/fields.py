# SPDX-License-Identifier: Apache-2.0
"""JSON files of users, read field by field."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any, NoReturn, Self

from membuddies_nova import exceptions

_MAX_RATIO = 1000.0


class Fields:
    """An object of a JSON file, read field by field.

    Whatever is wrong is told in one line that names the file and the field.
    """

    def __init__(self, file: pathlib.Path, path: str, value: object) -> None:
        self._file = file
        self._path = path
        if not isinstance(value, dict):
            raise exceptions.InputError(
                f"{file}: {path or 'the top level'}: must be an object"
            )
        self._value: dict[str, Any] = value

    @classmethod
    def of_file(cls, path: pathlib.Path) -> Self:
        """The top level of a JSON file.

        :raises InputError: if it cannot be read, or is no JSON object
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise exceptions.InputError(f"{path}: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise exceptions.InputError(f"{path}: is not UTF-8 text") from None
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise exceptions.InputError(
                f"{path}: line {error.lineno}: no JSON: {error.msg}"
            ) from None
        except (RecursionError, ValueError):
            raise exceptions.InputError(f"{path}: no JSON that makes sense") from None

        return cls(path, "", value)

    def wrong(self, name: str, problem: str) -> NoReturn:
        field = f"{self._path}.{name}" if self._path else name
        raise exceptions.InputError(f"{self._file}: {field}: {problem}")

    def text(self, name: str) -> str:
        value = self._given(name)
        if not isinstance(value, str) or not value.isprintable() or not value:
            self.wrong(name, "must be a printable text that is not empty")
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self._value.get(name) is None else self.text(name)

    def word(self, name: str, allowed: Sequence[str]) -> str:
        """One of a few words."""
        value = self._given(name)
        if not isinstance(value, str) or value not in allowed:
            self.wrong(name, f"{value!r} is none of {', '.join(allowed)}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, empty if left out."""
        value = self._value.get(name, [])
        if not isinstance(value, list) or not all(isinstance(e, str) for e in value):
            self.wrong(name, "must be a list of texts")
        return tuple(value)

    def wholes(self, name: str, minimum: int, maximum: int) -> tuple[int, ...]:
        """A list of whole numbers, empty if left out."""
        value = self._value.get(name, [])
        if not isinstance(value, list) or not all(
            isinstance(each, int)
            and not isinstance(each, bool)
            and minimum <= each <= maximum
            for each in value
        ):
            self.wrong(
                name, f"must be a list of whole numbers from {minimum} to {maximum}"
            )
        return tuple(value)

    def number(self, name: str, minimum: float, maximum: float) -> float:
        self._given(name)
        value = self.optional_number(name, minimum, maximum)
        if value is None:
            self.wrong(name, f"must be a number from {minimum:g} to {maximum:g}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self._value.get(name, default)
        if not isinstance(value, bool):
            self.wrong(name, "must be true or false")
        return value

    def whole(
        self, name: str, minimum: int, maximum: int, default: int | None = None
    ) -> int:
        if default is not None and name not in self._value:
            return default
        value = self._given(name)
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or not minimum <= value <= maximum
        ):
            self.wrong(name, f"must be a whole number from {minimum} to {maximum}")
        return value

    def optional_whole(self, name: str, minimum: int, maximum: int) -> int | None:
        if self._value.get(name) is None:
            return None
        return self.whole(name, minimum, maximum)

    def optional_number(
        self, name: str, minimum: float, maximum: float
    ) -> float | None:
        value = self._value.get(name)
        if value is None:
            return None
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not minimum <= value <= maximum
        ):
            self.wrong(name, f"must be a number from {minimum:g} to {maximum:g}")
        return float(value)

    def ratio(self, name: str) -> float:
        value = self.optional_number(name, 0.0, _MAX_RATIO)
        if value == 0.0:
            self.wrong(name, "must be above 0")
        return 1.0 if value is None else value

    def optional_fields(self, name: str) -> "Fields | None":
        value = self._value.get(name)
        if value is None:
            return None
        return Fields(self._file, f"{self._path}.{name}" if self._path else name, value)

    def fields(self, name: str) -> "Fields":
        self._given(name)
        fields = self.optional_fields(name)
        if fields is None:
            self.wrong(name, "must be an object")
        return fields

    def items(self) -> list[tuple[str, "Fields"]]:
        """The members of an object whose members are objects."""
        return [(name, self.fields(name)) for name in self._value]

    def entries(self, name: str) -> list["Fields"]:
        value = self._given(name)
        if not isinstance(value, list):
            self.wrong(name, "must be a list")
        return [
            Fields(self._file, f"{name}[{at}]", entry) for at, entry in enumerate(value)
        ]

    def distinct(self, name: str, values: Sequence[str]) -> None:
        """Refuse a name that an entry before has already."""
        seen: set[str] = set()
        for at, value in enumerate(values):
            if value in seen:
                self.wrong(f"{name}[{at}].name", f"{value!r} is given twice")
            seen.add(value)

    def _given(self, name: str) -> Any:
        if name not in self._value:
            self.wrong(name, "is missing")
        return self._value[name]
