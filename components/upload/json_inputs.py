"""Inputs of components that are JSON in a text: KFP's own lists and maps have no strict types."""

from __future__ import annotations

from typing import Any, TypeVar

from kfp_llm_tuning.components.common.errors import Problem, collect, raise_all
from kfp_llm_tuning.components.common.wording import short
from kfp_llm_tuning.components.parameters.reading import converted
from kfp_llm_tuning.components.parameters.row import Parameter

_Value = TypeVar("_Value", dict[str, Any], list[Any])


class JsonInputs:
    """Reads JSON inputs, and remembers what is wrong with them."""

    def __init__(self) -> None:
        """Begins without problems."""
        self._problems: list[Problem] = []

    def mapping(self, name: str, text: str) -> dict[str, Any]:
        """Reads a JSON object; an empty text is an empty one.

        Args:
            name: The input.
            text: Its value.

        Returns:
            The object; an empty one in the place of anything else.
        """
        return self._read(name, text, dict)

    def strings(self, name: str, text: str) -> dict[str, str]:
        """Reads a JSON object of strings, as :meth:`mapping` does."""
        value = self.mapping(name, text)
        if not all(isinstance(entry, str) for entry in value.values()):
            what = f"{short(value)} holds other values than strings."
            self._problems.append(Problem(what, name, "a JSON object of strings"))
            return {}
        return value

    def sequence(self, name: str, text: str) -> list[Any]:
        """Reads a JSON list; an empty text is an empty one.

        Args:
            name: The input.
            text: Its value.

        Returns:
            The list; an empty one in the place of anything else.
        """
        return self._read(name, text, list)

    def raise_problems(self) -> None:
        """Raises one UserError for all that was wrong; does nothing where nothing was."""
        raise_all(self._problems)

    def _read(self, name: str, text: str, kind: type[_Value]) -> _Value:
        found = kind()
        with collect(self._problems):
            row = Parameter(name, kind, default=found, help="")
            found = converted(text, row, texts=True) if text else found
        return found
