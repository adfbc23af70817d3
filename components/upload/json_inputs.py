"""Inputs of components that are JSON in a text: KFP's own lists and maps have no strict types."""

from __future__ import annotations

import json
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, raise_all


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
        value = self._read(text or "{}")
        if not isinstance(value, dict):
            self._refuse(name, text, "a JSON object")
            return {}
        return value

    def strings(self, name: str, text: str) -> dict[str, str]:
        """Reads a JSON object of strings, as :meth:`mapping` does."""
        value = self.mapping(name, text)
        if not all(isinstance(entry, str) for entry in value.values()):
            self._refuse(name, text, "a JSON object of strings")
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
        value = self._read(text or "[]")
        if not isinstance(value, list):
            self._refuse(name, text, "a JSON list")
            return []
        return value

    def raise_problems(self) -> None:
        """Raises one UserError for all that was wrong; does nothing where nothing was."""
        raise_all(self._problems)

    def _read(self, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            return None

    def _refuse(self, name: str, text: str, allowed: str) -> None:
        self._problems.append(Problem(f"{text!r} cannot be read.", name, allowed))
