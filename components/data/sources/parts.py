"""What every container is read into: rows as lines of JSON, and what is to be said of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.limits import (
    MAXIMUM_LINE_BYTES,
    MAXIMUM_LINE_VALUES,
)
from kfp_llm_tuning.components.data.reading.lines import LongLine


@dataclass(frozen=True)
class SourceFile:
    """One file of a dataset.

    Attributes:
        uri: What is opened.
        name: What it is called in findings.
    """

    uri: str
    name: str


@dataclass(frozen=True)
class Rows:
    """Some rows of a file, one after the other.

    Attributes:
        lines: JSON, one row a line; every line ends in a newline.
        file: The file, as findings name it.
        first: Number of the first row's line, or of the row in a file that has no lines; from 1.
        numbers: Number of every row, where they do not follow one another.
        unit: What the numbers count: ``line`` or ``row``.
        size: Bytes of the file that these rows were read from, decompressed.
    """

    lines: bytes
    file: str
    first: int = 1
    numbers: Sequence[int] = ()
    unit: str = "line"
    size: int = 0

    def number(self, offset: int) -> int:
        """Gives the number of one of the rows."""
        return self.numbers[offset] if self.numbers else self.first + offset


@dataclass(frozen=True)
class Remark:
    """What is to be said of a file, or of a row in the place where it would stand.

    Attributes:
        finding: With its file and, of a row, its number.
        rows: Rows that could not be read because of it.
        size: Bytes of the file that it is about, decompressed.
        unread: Whether nothing at all of the file is read.
    """

    finding: Finding
    rows: int = 0
    size: int = 0
    unread: bool = False


Part: TypeAlias = Rows | Remark


def refuse_long(line: LongLine, file: str, number: int, unit: str = "line") -> Remark:
    """Says of a row that is not read why.

    Args:
        line: Its size.
        file: The file, as findings name it.
        number: Its line or row.
        unit: Which of the two.
    """
    if line.values:
        what = f"the {unit} holds {line.values:,} values and is not read."
        allowed = f"at most {MAXIMUM_LINE_VALUES:,} values a {unit}"
    else:
        what = f"the {unit} has {line.size:,} bytes and is not read."
        allowed = f"at most {MAXIMUM_LINE_BYTES:,} bytes a {unit}"
    fix = "Write a long data list as several lines."
    finding = Finding("line_too_long", what, allowed, fix, line=number, file=file, unit=unit)
    return Remark(finding, rows=1, size=line.size + 1)


def refuse_rest(
    file: str, number: int, reason: str, fix: str, size: int | None = None, unit: str = "line"
) -> Remark:
    """Says from where on a file cannot be read.

    Args:
        file: The file, as findings name it.
        number: The first line or row that is not read.
        reason: Why.
        fix: What to do.
        size: Bytes that were read before; None where that tells nothing.
        unit: What is counted.
    """
    read = f" {size:,} bytes were read before." if size is not None else ""
    what = f"{reason}.{read}"
    return Remark(Finding("broken_file", what, fix=fix, line=number, file=file, unit=unit))
