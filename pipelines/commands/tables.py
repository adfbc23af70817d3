"""Tables of other people's texts: nothing in them is markup, and whatever stands there is whole."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

_GAP = "  "


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table without lines; ids, names and URIs in it can be copied at any width.

    A terminal that is too narrow for it gets each row as its first text on a line of its own, and
    below it the others by their titles. Pipes and files have no width.

    Args:
        titles: One a column.
        rows: Texts, one a column; a text may have several lines.
    """
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, no_wrap=True, overflow="ignore")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    needed = Measurement.get(console, console.options.update(width=sys.maxsize), table).maximum
    if console.is_terminal and needed > console.width:
        for row in rows:
            console.print(row[0], style="bold")
            for line in _packed(titles[1:], row[1:], console.width):
                console.print(line)
        return
    console.width = max(needed, console.width)
    console.print(table)


def _packed(titles: Sequence[str], texts: Sequence[str], width: int) -> Iterator[str]:
    """Puts titled texts into lines; one is broken only where it is wider than a line."""
    line = ""
    for title, text in zip(titles, texts, strict=True):
        item = f"{_GAP}{title.lower()} {' '.join(text.split())}"
        if not text:
            continue
        if line and len(line) + len(item) > width:
            yield line
            line = ""
        line += item
    if line:
        yield line
