"""Paths of a run that was moved: what it wrote down where it was made, and where that lies now."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Relocation:
    """Folders that were moved; empty where none was.

    Attributes:
        moved: Each folder as it was called when the run was made, and as it is called now.
    """

    moved: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_run(cls, made: Path, now: Path) -> Relocation:
        """Compares where a run was made with where it is.

        Args:
            made: The run's folder when it was made.
            now: The run's folder.

        Returns:
            The run's own folder where it was moved or renamed. The folder of all runs besides,
            where it is gone from its old place: it was moved as a whole, registry and all.
        """
        moved = {str(made): str(now)} if made != now else {}
        if made.parent != now.parent and not made.parent.exists():
            moved[str(made.parent)] = str(now.parent)
        return cls(moved)

    def as_now(self, value: Any) -> Any:
        """Writes the paths in a value, of plain JSON types, as they are now."""
        return _replaced(value, self.moved)

    def as_made(self, value: Any) -> Any:
        """Writes the paths in a value, of plain JSON types, as they were at first."""
        return _replaced(value, {now: made for made, now in self.moved.items()})


def _replaced(value: Any, folders: Mapping[str, str]) -> Any:
    if not folders:
        return value
    if isinstance(value, str):
        # Longest first: the folder of all runs begins as the run's own does.
        names = "|".join(re.escape(name) for name in sorted(folders, key=len, reverse=True))
        # Whole names alone, amid a URI too: sqlite:////data/runs/mlflow.db.
        return re.sub(rf"(?<![\w.-])(?:{names})(?=/|$)", lambda found: folders[found[0]], value)
    if isinstance(value, Mapping):
        return {key: _replaced(content, folders) for key, content in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(content, folders) for content in value]
    return value
