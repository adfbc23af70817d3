"""Reads one row as a dataset's line is read, and shows what is said of it."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.reading.careful_check import check_line
from kfp_llm_tuning.components.data.rows import ChatRow, Message, Row, ToolCall


def read(row: Any, expected: Format) -> Row:
    """Reads a row that must be good; forgets where its messages stood."""
    report = check_line(json.dumps(row).encode(), expected)
    assert [finding.problem() for finding in report.findings] == []
    [(path, found)] = report.rows
    assert path == ""
    return without_places(found)


def without_places(row: Row) -> Row:
    """Forgets where a row's messages stood: rows of several formats are compared."""
    return msgspec.structs.replace(row, places=()) if isinstance(row, ChatRow) else row


def problems(row: Any, expected: Format) -> list[str]:
    """Reads a row that must be bad; gives what is said of it."""
    line = row if isinstance(row, bytes) else json.dumps(row).encode()
    report = check_line(line, expected)
    assert report.rows == []
    return [str(finding.problem()) for finding in report.findings]


def user(content: str) -> Message:
    """A message of the user's."""
    return Message("user", content)


def assistant(content: str, *calls: ToolCall, **further: Any) -> Message:
    """A message of the assistant's."""
    return Message("assistant", content, tool_calls=calls, **further)
