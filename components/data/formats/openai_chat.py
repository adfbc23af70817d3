"""OpenAI chat: ``messages`` with role and content, ``tools`` beside them.

A list called ``conversations`` whose entries have roles is read too.
"""

from __future__ import annotations

from typing import Any

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.data.formats.checks import (
    join,
    repeated,
    required_list,
)
from kfp_llm_tuning.components.data.formats.conversations import Conversation, as_conversation
from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.formats.openai_messages import (
    MESSAGES,
    has_entries_with,
    read_messages,
    write_messages,
)
from kfp_llm_tuning.components.data.formats.tools import read_definitions
from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.json_syntax import Fields
from kfp_llm_tuning.components.data.rows import ChatRow, Row, RowFormat

_LISTS = ("messages", "conversations")
# The latter is what the former API called the former.
_TOOLS = ("tools", "functions")


def _recognise(fields: Fields) -> bool:
    if "messages" in fields.names:
        messages = fields.get("messages")
        return has_entries_with("role", messages) or not has_entries_with("author", messages)
    return has_entries_with("role", fields.find("conversations"))


def _read(fields: Fields, path: str, findings: list[Finding]) -> ChatRow | None:
    findings += repeated(fields, (*_LISTS, *_TOOLS), path)
    name = next((name for name in _LISTS if name in fields.names), "messages")
    entries = required_list(fields, name, path, MESSAGES, findings)
    tools = read_tools(fields, path, findings)
    if entries is None:
        return None
    conversation = Conversation(join(path, name), findings)
    read_messages(entries, join(path, name), conversation, findings)
    return conversation.finish(tools=tools)


def read_tools(fields: Fields, path: str, findings: list[Finding]) -> tuple[dict[str, Any], ...]:
    """Reads the definitions of tools of a row."""
    for name in _TOOLS:
        if tools := read_definitions(fields.find(name), join(path, name), findings):
            return tools
    return ()


def write_tools(row: ChatRow) -> dict[str, Any]:
    """Writes the definitions of tools as a field of a row; nothing where there are none."""
    return {"tools": list(row.tools)} if row.tools else {}


def _write(row: Row) -> dict[str, Any]:
    row = as_conversation(row)
    return {"messages": write_messages(row), **write_tools(row)}


OPENAI = Format(
    name=FormatName.OPENAI,
    title="OpenAI chat",
    row_format=RowFormat.CHAT,
    example='{"messages": [{"role": "user", "content": "..."}, '
    '{"role": "assistant", "content": "..."}]}',
    required=("messages",),
    fields=(*_LISTS, *_TOOLS),
    recognise=_recognise,
    read=_read,
    write=_write,
)
