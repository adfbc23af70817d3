"""ShareGPT: ``conversations`` of from and value; LLaMA-Factory's ``system`` and ``tools``.

https://llamafactory.readthedocs.io/en/latest/getting_started/data_preparation.html#sharegpt
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.data.formats.checks import (
    check_filled_text,
    check_text,
    embedded_json,
    filled_text,
    is_text,
    join,
    missing,
    optional_text,
    repeated,
    required_list,
    wrong_type,
)
from kfp_llm_tuning.components.data.formats.conversations import (
    Conversation,
    as_conversation,
    content_with_reasoning,
    read_weight,
)
from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.formats.openai_messages import has_entries_with
from kfp_llm_tuning.components.data.formats.tools import read_call, read_definitions
from kfp_llm_tuning.components.data.reading.field_names import quote
from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.json_syntax import Fields
from kfp_llm_tuning.components.data.rows import Author, ChatRow, Message, Row, RowFormat, ToolCall

_AUTHORS: dict[str, Author] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "system": "system",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
}
_ALLOWED_AUTHORS = "human, gpt, system, function_call, observation"
_NAMES: dict[Author, str] = {"user": "human", "assistant": "gpt", "tool": "observation"}
_MESSAGES = "a list of messages, each with from and value"
_CALL = "a JSON object with name and arguments"
_KNOWN = ("from", "value")


def _recognise(fields: Fields) -> bool:
    return "conversations" in fields.names and not has_entries_with(
        "role", fields.get("conversations")
    )


def _read(fields: Fields, path: str, findings: list[Finding]) -> ChatRow | None:
    findings += repeated(fields, ("conversations", "system", "tools"), path)
    system = optional_text(fields, "system", path, findings)
    tools = read_definitions(fields.find("tools"), join(path, "tools"), findings)
    entries = required_list(fields, "conversations", path, _MESSAGES, findings)
    if entries is None:
        return None
    place = join(path, "conversations")
    conversation = Conversation(place, findings, assistant="gpt")
    for position, entry in enumerate(entries):
        where = f"{place}[{position}]"
        conversation.add(_read_message(entry, where, findings), join(where, "value"))
    return conversation.finish(system or UNSET, tools)


def _read_message(entry: Any, path: str, findings: list[Finding]) -> Message | None:
    if not isinstance(entry, Fields):
        findings.append(wrong_type(entry, path, "an object with from and value"))
        return None
    findings += repeated(entry, (*_KNOWN, "weight"), path)
    speaker = filled_text(entry, "from", path, _KNOWN, findings) or ""
    author = _AUTHORS.get(speaker)
    if speaker and author is None:
        what = f"the author is {quote(speaker)}."
        where = join(path, "from")
        findings.append(Finding("unknown_role", what, _ALLOWED_AUTHORS, path=where))
    if "value" not in entry.names:
        findings.append(missing(entry, "value", path, _KNOWN))
        return Message(author, "") if author else None
    place = join(path, "value")
    if speaker == "function_call":
        calls = _read_calls(entry.get("value"), place, findings)
        learned = read_weight(entry.find("weight"), path, findings)
        return Message("assistant", "", tool_calls=calls, learned=learned)
    check = check_filled_text if author in ("user", "assistant") else check_text
    text = check(entry.get("value"), place, findings)
    if author == "assistant":
        learned = read_weight(entry.find("weight"), path, findings)
        return Message("assistant", text or "", learned=learned)
    return Message(author, text or "") if author else None


def _read_calls(value: Any, path: str, findings: list[Finding]) -> tuple[ToolCall, ...]:
    """Reads one call, or a list of them, mostly as a text of JSON."""
    if is_text(value):
        value = embedded_json(value, path, _CALL, findings)
        if value is None:
            return ()
    if not isinstance(value, list):
        call = read_call(value, path, findings)
        return (call,) if call else ()
    calls = (read_call(each, f"{path}[{i}]", findings) for i, each in enumerate(value))
    return tuple(call for call in calls if call)


def _write(row: Row) -> dict[str, Any]:
    row = as_conversation(row)
    written: dict[str, Any] = {
        "conversations": [entry for said in row.messages for entry in _write_message(said)]
    }
    if isinstance(row.context, str) and row.context:
        written["system"] = row.context
    if row.tools:
        functions = [definition["function"] for definition in row.tools]
        written["tools"] = msgspec.json.encode(functions).decode()
    return written


def _write_message(message: Message) -> list[dict[str, Any]]:
    weight = {} if message.learned or message.author != "assistant" else {"weight": 0}
    text = content_with_reasoning(message)
    written: list[dict[str, Any]] = []
    if text or not message.tool_calls:
        name = _NAMES.get(message.author, message.author)
        written.append({"from": name, "value": text, **weight})
    if message.tool_calls:
        calls = [{"name": call.name, "arguments": call.arguments} for call in message.tool_calls]
        value = msgspec.json.encode(calls[0] if len(calls) == 1 else calls).decode()
        written.append({"from": "function_call", "value": value, **weight})
    return written


SHAREGPT = Format(
    name=FormatName.SHAREGPT,
    title="ShareGPT",
    row_format=RowFormat.CHAT,
    example='{"conversations": [{"from": "human", "value": "..."}, '
    '{"from": "gpt", "value": "..."}]}',
    required=("conversations",),
    fields=("conversations", "system", "tools"),
    recognise=_recognise,
    read=_read,
    write=_write,
)
