"""Rows of the published formats, and the exact messages that a broken one between them gets."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.formats.published import PUBLISHED_CHAT, PUBLISHED_TEXT
from kfp_llm_tuning.components.data.reading.findings import Findings, list_problems
from kfp_llm_tuning.components.data.reading.scan import scan

# Of each kind a line, then every message without the file's name and line.
BrokenRows: TypeAlias = dict[str, tuple[bytes, list[str]]]

GOOD = {
    PUBLISHED_TEXT: b'{"input_text": "in", "output_text": "out"}',
    PUBLISHED_CHAT: b'{"messages": [{"author": "user", "content": "in"}, '
    b'{"author": "assistant", "content": "out"}]}',
}


def check_broken_row(known: Format, line: bytes, expected: list[str], folder: Path) -> None:
    """Scans the line between two good rows: it gets the messages, and both are read."""
    file = folder / "train.jsonl"
    good = GOOD[known]
    file.write_bytes(good + b"\n" + line + b"\n" + good + b"\n")
    findings = Findings(20)
    visited = []
    scanned = scan(str(file), known, findings, lambda place, row: visited.append(place.line))
    shown = [str(problem) for problem in list_problems(findings)]
    assert shown == [f"train.jsonl line 2{message}" for message in expected]
    assert {visited[0], visited[-1]} == {1, 3}, "the good rows around it are still read"
    assert scanned.lines == 3
