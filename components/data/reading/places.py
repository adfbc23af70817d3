"""Where an example stands in a dataset."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where an example stands.

    Attributes:
        line: Its line, or the number of its row in a file that has no lines; from 1.
        path: "" or ``data[4]``.
        file: The file, where the dataset has several; else empty.
        unit: What is counted: ``line`` or ``row``.
        number: Where the dataset has several files, which of all their lines it is; else the line.
    """

    line: int
    path: str = ""
    file: str = ""
    unit: str = "line"
    number: int = 0

    def __str__(self) -> str:
        """Writes it as messages do: ``b.jsonl line 3, data[4]``."""
        where = f"{self.file} {self.unit} {self.line}".strip()
        return f"{where}, {self.path}" if self.path else where
