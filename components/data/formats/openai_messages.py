"""Messages with role and content, as OpenAI's API has them and most tools after it.

Roles, tool calls, ``weight``: https://platform.openai.com/docs/api-reference/fine-tuning/chat-input.
``reasoning_content`` is what most servers of open models call an answer's reasoning.
"""

from __future__ import annotations

from typing import Any

from kfp_llm_tuning.components.data.formats.checks import (
    check_text,
    empty_text,
    filled_text,
    is_text,
    join,
    missing,
    optional_text,
    repeated,
    wrong_type,
)
from kfp_llm_tuning.components.data.formats.conversations import Conversation, read_weight
from kfp_llm_tuning.components.data.formats.tools import (
    read_call,
    read_call_id,
    write_arguments,
)
from kfp_llm_tuning.components.data.reading.field_names import author_for, possible_names, quote
from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.json_syntax import Fields
from kfp_llm_tuning.components.data.rows import Author, ChatRow, Message, ToolCall

MESSAGES = "a list of messages, each with role and content"
_ROLES: dict[str, Author] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_ALLOWED_ROLES = "system, developer, user, assistant, tool"
_REASONING = ("reasoning_content", "reasoning", "thinking")
_READ = ("role", "content", "tool_calls", "function_call", "tool_call_id", "name", "weight")
_KNOWN = ("role", "content")
# Kinds of parts that no text model can learn from, as a person calls them.
_OTHER_PARTS = {
    "image_url": "an image",
    "image": "an image",
    "input_image": "an image",
    "input_audio": "a sound",
    "audio": "a sound",
    "video": "a video",
    "video_url": "a video",
    "file": "a file",
    "input_file": "a file",
}


def has_entries_with(name: str, value: Any) -> bool:
    """Tells whether a value is a list in which an object has a field: ``role``, or ``author``."""
    return isinstance(value, list) and any(
        isinstance(entry, Fields) and name in entry.names for entry in value
    )


def read_messages(
    entries: list[Any], path: str, conversation: Conversation, findings: list[Finding]
) -> None:
    """Reads a list of messages.

    Args:
        entries: The list.
        path: Its path.
        conversation: Takes the messages.
        findings: Takes what is wrong with each.
    """
    for position, entry in enumerate(entries):
        place = f"{path}[{position}]"
        message = _read_message(entry, place, findings)
        conversation.add(message, join(place, "content"), *_apart(entry, place))


def write_messages(row: ChatRow) -> list[dict[str, Any]]:
    """Writes a conversation, its context as a system message."""
    told = [{"role": "system", "content": row.context}] if isinstance(row.context, str) else []
    return [*told, *map(write_message, row.messages)]


def write_message(message: Message) -> dict[str, Any]:
    """Writes a message."""
    written: dict[str, Any] = {"role": message.author, "content": message.content}
    if message.reasoning:
        written["reasoning_content"] = message.reasoning
    if message.tool_calls:
        written["content"] = message.content or None
        written["tool_calls"] = [_write_call(call) for call in message.tool_calls]
    if message.author == "tool":
        named = {"tool_call_id": message.tool_call_id, "name": message.name}
        written |= {name: value for name, value in named.items() if value}
    if message.author == "assistant" and not message.learned:
        written["weight"] = 0
    return written


def _write_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": write_arguments(call)}
    named = {"id": call.id} if call.id else {}
    return {**named, "type": "function", "function": function}


def _read_message(entry: Any, path: str, findings: list[Finding]) -> Message | None:
    if not isinstance(entry, Fields):
        findings.append(wrong_type(entry, path, "an object with role and content"))
        return None
    findings += repeated(entry, (*_READ, *_REASONING), path)
    role = filled_text(entry, "role", path, _KNOWN, findings)
    author = _ROLES.get(role or "")
    if author is None:
        if role:
            findings.append(_unknown_role(role, join(path, "role")))
        _read_content(entry, path, "user", findings)
        return None
    if author == "assistant":
        return _read_answer(entry, path, findings)
    content = _read_content(entry, path, author, findings)
    if author != "tool":
        return Message(author, content)
    return Message(
        "tool",
        content,
        name=optional_text(entry, "name", path, findings),
        tool_call_id=read_call_id(entry.find("tool_call_id"), join(path, "tool_call_id"), findings),
    )


def _read_answer(entry: Fields, path: str, findings: list[Finding]) -> Message:
    calls = _read_calls(entry, path, findings)
    reasoning = ""
    for name in _REASONING:
        reasoning = reasoning or optional_text(entry, name, path, findings)
    if entry.find("audio") is not None:
        findings.append(_other_part("a sound", join(path, "audio")))
    content = optional_text(entry, "refusal", path, findings)
    if not content or entry.find("content") is not None:
        has_calls = any(entry.find(name) is not None for name in ("tool_calls", "function_call"))
        content = _read_content(entry, path, "assistant", findings, may_be_missing=has_calls)
    learned = read_weight(entry.find("weight"), path, findings)
    return Message("assistant", content, reasoning, calls, learned=learned)


def _apart(entry: Any, path: str) -> tuple[str, list[str]]:
    """Gives the places of a message's reasoning and of each of its calls."""
    if not isinstance(entry, Fields):
        return "", []
    reasoning = next((name for name in _REASONING if entry.find(name)), "")
    calls = entry.find("tool_calls")
    if isinstance(calls, list):
        places = [f"{join(path, 'tool_calls')}[{position}]" for position in range(len(calls))]
    else:
        places = [join(path, "function_call")] if entry.find("function_call") else []
    return join(path, reasoning) if reasoning else "", places


def _read_calls(entry: Fields, path: str, findings: list[Finding]) -> tuple[ToolCall, ...]:
    former = entry.find("function_call")
    entries = entry.find("tool_calls")
    place = join(path, "tool_calls")
    if entries is None:
        if former is None:
            return ()
        call = read_call(former, join(path, "function_call"), findings)
        return (call,) if call else ()
    if not isinstance(entries, list):
        findings.append(wrong_type(entries, place, "a list of calls, each with a function"))
        return ()
    read = [_read_call(each, f"{place}[{i}]", findings) for i, each in enumerate(entries)]
    return tuple(call for call in read if call)


def _read_call(entry: Any, path: str, findings: list[Finding]) -> ToolCall | None:
    if not isinstance(entry, Fields):
        findings.append(wrong_type(entry, path, "an object with id and function"))
        return None
    findings += repeated(entry, ("id", "type", "function"), path)
    kind = entry.find("type")
    if kind not in (None, "function"):
        what = f"the call is of the type {quote(str(kind))}."
        findings.append(Finding("unknown_tool", what, "function", path=join(path, "type")))
        return None
    call_id = read_call_id(entry.find("id"), join(path, "id"), findings)
    if "function" in entry.names:
        return read_call(entry.get("function"), join(path, "function"), findings, call_id)
    if "name" in entry.names:
        # As chat templates take them too, without the wrapping.
        return read_call(entry, path, findings, call_id)
    findings.append(missing(entry, "function", path, ("id", "type")))
    return None


def _read_content(
    entry: Fields,
    path: str,
    author: Author,
    findings: list[Finding],
    may_be_missing: bool = False,
) -> str:
    """Reads what is said: a text, or parts of it; empty where it is wrong, which is found."""
    place = join(path, "content")
    may_be_empty = may_be_missing or author in ("tool", "system")
    value = entry.find("content")
    if value is None and may_be_missing:
        return ""
    if "content" not in entry.names:
        findings.append(missing(entry, "content", path, _KNOWN))
        return ""
    before = len(findings)
    if isinstance(value, list):
        parts = [_read_part(part, f"{place}[{i}]", findings) for i, part in enumerate(value)]
        content = "".join(parts)
    else:
        content = check_text(value, place, findings) or ""
    if not content and not may_be_empty and len(findings) == before:
        findings.append(empty_text(place))
    return content


def _read_part(part: Any, path: str, findings: list[Finding]) -> str:
    if is_text(part):
        return str(part)
    if not isinstance(part, Fields):
        findings.append(wrong_type(part, path, "an object with type and text"))
        return ""
    kind = part.find("type")
    name = "refusal" if kind == "refusal" else "text"
    if kind in (None, "text", "input_text", "output_text", "refusal"):
        return filled_text(part, name, path, ("type", name), findings) or ""
    findings.append(_other_part(_OTHER_PARTS.get(str(kind), quote(str(kind))), join(path, "type")))
    return ""


def _other_part(what: str, path: str) -> Finding:
    fix = "Text models learn from text alone: leave such rows out."
    return Finding("unknown_part", f"the message holds {what}.", "text", fix, path=path)


def _unknown_role(role: str, path: str) -> Finding:
    meant = "".join(author_for(name) for name in possible_names((role,)))
    fix = f"Did you mean {meant}?" if meant else ""
    return Finding("unknown_role", f"the role is {quote(role)}.", _ALLOWED_ROLES, fix, path=path)
