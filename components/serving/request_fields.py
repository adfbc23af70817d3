"""The fields of a request's objects: taken one by one, every mistake noted with its place."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.common.wording import nearest
from kfp_llm_tuning.components.serving.refusals import MOST_PROBLEMS, quoted

_LONGEST_NAME = 100
# Of a list of objects: no context has room for as many messages.
_MOST_ITEMS = 10_000
# Names that are looked for among the known ones: it takes long, and the first tell enough.
_MOST_GUESSES = 5


class Fields:
    """The fields of one object. Null is as good as absent.

    Whole numbers may come as floats (1024.0): Vertex AI sends every number as a double. A boolean
    is no number.

    Attributes:
        where: Where the object stands in the request; empty for the request itself.
    """

    def __init__(self, values: Mapping[str, Any], where: str, problems: list[Problem]) -> None:
        """Begins to read an object.

        Args:
            values: The object.
            where: Where it stands.
            problems: Takes every mistake found.
        """
        self._values = values
        self.where = where
        self._problems = problems
        self._known: dict[str, None] = {}

    def take(self, name: str) -> Any:
        """Gives a field as it came; None where it is absent."""
        self._known[name] = None
        return self._values.get(name)

    def has(self, name: str) -> bool:
        """Tells whether a field is there and not null."""
        return self.take(name) is not None

    def place(self, name: str) -> str:
        """Names where a field stands."""
        return f"{self.where}.{name}" if self.where else name

    def complain(self, name: str, what: str, allowed: str = "", fix: str = "") -> None:
        """Notes a mistake in a field, unless there are many already."""
        if len(self._problems) < MOST_PROBLEMS:
            self._problems.append(Problem(what, self.place(name), allowed, fix))

    def text(self, name: str, *, default: str | None = None, empty: bool = True) -> str:
        """Takes a text.

        Args:
            name: The field.
            default: What stands for an absent one; None asks for the field.
            empty: Whether it may be empty.

        Returns:
            The text; empty where a mistake was noted.
        """
        value = self.take(name)
        if value is None and default is not None:
            return default
        if value is None:
            self.complain(name, "is missing.", "a text")
        elif not isinstance(value, str):
            self.complain(name, f"{shown(value)} is no text.", "a text")
        elif not value and not empty:
            self.complain(name, "is empty.", "a text that is not empty")
        else:
            return value
        return ""

    def flag(self, name: str) -> bool:
        """Takes a boolean; False where it is absent or wrong."""
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            self.complain(name, f"{shown(value)} is no boolean.", "true, false")
        return value is True

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Takes a number.

        Args:
            name: The field.
            default: What stands for an absent or a wrong one.
            low: Least value allowed.
            high: Most value allowed.

        Returns:
            The number.
        """
        value = self.take(name)
        if value is None:
            return default
        found = as_number(value)
        if found is not None and low <= found <= high:
            return float(found)
        what = f"{shown(value)} is {'no number' if found is None else 'out of range'}."
        self.complain(name, what, f"{low:g} to {high:g}")
        return default

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Takes a whole number.

        Args:
            name: The field.
            default: What stands for an absent or a wrong one.
            low: Least value allowed.
            high: Most value allowed.

        Returns:
            The number.
        """
        value = self.take(name)
        if value is None:
            return default
        found = as_number(value)
        is_whole = found is not None and found == int(found)
        if found is not None and is_whole and low <= found <= high:
            return int(found)
        what = f"{shown(value)} is {'out of range' if is_whole else 'no whole number'}."
        self.complain(name, what, f"{low} to {high}")
        return default

    def objects(self, name: str) -> list[Fields]:
        """Takes a list of objects; empty where it is absent, or where any of it is wrong."""
        value = self.take(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.complain(name, f"{shown(value)} is no list.", "a list of objects")
            return []
        if len(value) > _MOST_ITEMS:
            self.complain(name, f"has {len(value)} items.", f"at most {_MOST_ITEMS:,}")
            return []
        found = [self._object(f"{name}[{index}]", item) for index, item in enumerate(value)]
        objects = [fields for fields in found if fields is not None]
        return objects if len(objects) == len(found) else []

    def object(self, name: str) -> Fields | None:
        """Takes an object; None where it is absent or wrong."""
        value = self.take(name)
        return None if value is None else self._object(name, value)

    def ignore(self, names: Collection[str]) -> None:
        """Lets fields be there that change nothing."""
        self._known.update(dict.fromkeys(names))

    def refuse(self, reasons: Mapping[str, str], harmless: Collection[Any] = ()) -> None:
        """Notes fields that ask for what this server does not do.

        Args:
            reasons: Fields and why they are refused.
            harmless: Values that ask for nothing.
        """
        for name, reason in reasons.items():
            value = self.take(name)
            if value is not None and not any(_same(value, one) for one in harmless):
                self.complain(name, reason)

    def finish(self) -> None:
        """Notes fields that nobody asked for."""
        if len(self._problems) >= MOST_PROBLEMS:
            return
        unknown = (name[:_LONGEST_NAME] for name in self._values if name not in self._known)
        known = ", ".join(self._known)
        for number, name in enumerate(islice(unknown, MOST_PROBLEMS)):
            guess = self._did_you_mean(name) if number < _MOST_GUESSES else ""
            self.complain(name, "no such field.", known, guess)

    def _object(self, name: str, value: Any) -> Fields | None:
        if isinstance(value, dict):
            return Fields(value, self.place(name), self._problems)
        self.complain(name, f"{shown(value)} is no object.", "an object")
        return None

    def _did_you_mean(self, name: str) -> str:
        known = {_plain(one): one for one in self._known}
        found = nearest(_plain(name), known, cutoff=0.75)
        return f"Did you mean {known[found]}?" if found else ""


def as_number(value: Any) -> int | float | None:
    """Gives a finite number that JSON brought; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if isinstance(value, int) or math.isfinite(value) else None


def shown(value: Any) -> str:
    """Shows a value in a message: briefly, and whatever it holds."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    return json.dumps(value)[:_LONGEST_NAME]


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _same(value: Any, other: Any) -> bool:
    return type(value) is type(other) and value == other
