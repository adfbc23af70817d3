"""Gemini's format: ``contents`` of parts, ``systemInstruction`` and ``tools`` beside them.

https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference has the names in
camelCase; Google's SDK writes them in snake_case too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.data.formats.checks import (
    check_text,
    empty_text,
    filled_text,
    is_text,
    join,
    optional_text,
    plain_value,
    repeated,
    required_list,
    wrong_type,
)
from kfp_llm_tuning.components.data.formats.conversations import (
    Conversation,
    as_conversation,
    read_weight,
)
from kfp_llm_tuning.components.data.formats.format import Format, UnwritableRowError
from kfp_llm_tuning.components.data.formats.tools import (
    define,
    read_arguments,
    read_call_id,
    read_function,
)
from kfp_llm_tuning.components.data.reading.field_names import list_names, quote
from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.json_syntax import Fields
from kfp_llm_tuning.components.data.rows import ChatRow, Message, Row, RowFormat, ToolCall

_INSTRUCTION = ("systemInstruction", "system_instruction")
_DECLARATIONS = ("functionDeclarations", "function_declarations")
_CALL = ("functionCall", "function_call")
_RESPONSE = ("functionResponse", "function_response")
_SCHEMA = ("parametersJsonSchema", "parameters_json_schema", "parameters")
_CONTENTS = "a list of contents, each with role and parts"
_PARTS = "a list of parts, each with a text"
# What an answer of a tool is under, where it is a text and no object.
_ANSWERS = ("output", "result")
# What no text model can learn from, as a person calls it.
_OTHER_PARTS = {
    "inlinedata": "a file within the row (inlineData)",
    "filedata": "a file (fileData)",
    "executablecode": "code to be run (executableCode)",
    "codeexecutionresult": "what code printed (codeExecutionResult)",
    "toolcall": "a call of a built-in tool (toolCall)",
    "toolresponse": "the answer of a built-in tool (toolResponse)",
}


@dataclass
class _Content:
    """What the parts of one entry say together, and where each stands."""

    text: str = ""
    thought: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    results: list[tuple[Message, str]] = field(default_factory=list)
    texts_at: list[str] = field(default_factory=list)
    thoughts_at: list[str] = field(default_factory=list)
    calls_at: list[str] = field(default_factory=list)


def _recognise(fields: Fields) -> bool:
    return "contents" in fields.names


def _read(fields: Fields, path: str, findings: list[Finding]) -> ChatRow | None:
    findings += repeated(fields, ("contents", *_INSTRUCTION, "tools"), path)
    context = _read_instruction(fields, path, findings)
    tools = _read_tools(fields.find("tools"), join(path, "tools"), findings)
    entries = required_list(fields, "contents", path, _CONTENTS, findings)
    if entries is None:
        return None
    conversation = Conversation(join(path, "contents"), findings, assistant="model")
    for position, entry in enumerate(entries):
        _read_content(entry, f"{join(path, 'contents')}[{position}]", conversation, findings)
    return conversation.finish(context, tools)


def _read_instruction(fields: Fields, path: str, findings: list[Finding]) -> str | UnsetType:
    name = _present(fields, _INSTRUCTION)
    if not name:
        return UNSET
    value, place = fields.get(name), join(path, name)
    if is_text(value):
        return check_text(value, place, findings) or ""
    if not isinstance(value, Fields):
        findings.append(wrong_type(value, place, "an object with parts"))
        return UNSET
    said = _read_parts(value, place, findings)
    if said.calls or said.results:
        what = "the instruction calls functions."
        findings.append(Finding("unknown_part", what, "text", path=place))
    return said.text


def _read_tools(value: Any, path: str, findings: list[Finding]) -> tuple[dict[str, Any], ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        findings.append(wrong_type(value, path, "a list of tools with functionDeclarations"))
        return ()
    read: list[dict[str, Any]] = []
    for position, entry in enumerate(value):
        place = f"{path}[{position}]"
        if not isinstance(entry, Fields):
            findings.append(wrong_type(entry, place, "an object with functionDeclarations"))
            continue
        name = _present(entry, _DECLARATIONS)
        other = [key for key, held in entry.pairs if key not in _DECLARATIONS and held is not None]
        if other:
            what = f"the tool is {list_names(other)}, which models do not learn to call."
            findings.append(Finding("unknown_tool", what, "functionDeclarations", path=place))
        if name:
            read += _read_declarations(entry, name, place, findings)
    return tuple(read)


def _read_declarations(
    tool: Fields, name: str, path: str, findings: list[Finding]
) -> list[dict[str, Any]]:
    declarations = required_list(tool, name, path, "a list of functions", findings) or []
    read = []
    for position, declaration in enumerate(declarations):
        place = f"{join(path, name)}[{position}]"
        if not isinstance(declaration, Fields):
            findings.append(wrong_type(declaration, place, "an object with name and parameters"))
            continue
        function = read_function(declaration, place, findings)
        if function:
            schema = next((function.pop(key) for key in _SCHEMA if key in function), None)
            if schema is not None:
                function["parameters"] = _json_schema(schema)
            read.append(define(function))
    return read


def _json_schema(schema: Any) -> Any:
    """Writes the types of a schema as JSON schema does: in lower case."""
    if isinstance(schema, list):
        return [_json_schema(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value.lower() if key == "type" and isinstance(value, str) else _json_schema(value)
        for key, value in schema.items()
        if value is not None
    }


def _read_content(
    entry: Any, path: str, conversation: Conversation, findings: list[Finding]
) -> None:
    if not isinstance(entry, Fields):
        findings.append(wrong_type(entry, path, "an object with role and parts"))
        conversation.add(None, path)
        return
    findings += repeated(entry, ("role", "parts", "weight"), path)
    role = filled_text(entry, "role", path, ("role", "parts"), findings)
    before = len(findings)
    said = _read_parts(entry, path, findings)
    parts = join(path, "parts")
    place = _only(said.texts_at or said.calls_at, parts)
    is_wrong = len(findings) > before
    if role == "model":
        if not (said.text or said.calls or is_wrong):
            findings.append(empty_text(place))
        learned = read_weight(entry.find("weight"), path, findings)
        calls = tuple(said.calls)
        message = Message("assistant", said.text, said.thought, calls, learned=learned)
        thought = _only(said.thoughts_at, parts) if said.thought else ""
        conversation.add(message, place, thought, said.calls_at)
    elif role in ("user", "function", "tool"):
        for result, where in said.results:
            conversation.add(result, where)
        if said.text or not said.results:
            if not (said.text or is_wrong):
                findings.append(empty_text(place))
            conversation.add(Message("user", said.text), place)
    else:
        if role:
            findings.append(_unknown_role(role, join(path, "role")))
        conversation.add(None, place)


def _only(places: list[str], parts: str) -> str:
    """Gives the place of what stands in one part; that of all parts where it stands in several."""
    return places[0] if len(places) == 1 else parts


def _unknown_role(role: str, path: str) -> Finding:
    fix = ""
    if role.strip().lower() in ("assistant", "bot", "ai", "gpt"):
        fix = "Did you mean model?"
    elif role.strip().lower() in ("system", "developer"):
        fix = "Put what it says into the row's systemInstruction."
    return Finding("unknown_role", f"the role is {quote(role)}.", "user, model", fix, path=path)


def _read_parts(entry: Fields, path: str, findings: list[Finding]) -> _Content:
    said = _Content()
    parts = required_list(entry, "parts", path, _PARTS, findings) or []
    for position, part in enumerate(parts):
        place = f"{join(path, 'parts')}[{position}]"
        if isinstance(part, Fields):
            _read_part(part, place, said, findings)
        else:
            findings.append(wrong_type(part, place, "an object with text"))
    return said


def _read_part(part: Fields, path: str, said: _Content, findings: list[Finding]) -> None:
    findings += repeated(part, ("text", "thought", *_CALL, *_RESPONSE), path)
    if part.find("text") is not None:
        place = join(path, "text")
        text = check_text(part.get("text"), place, findings) or ""
        if part.find("thought") is True:
            said.thought += text
            said.thoughts_at.append(place)
        else:
            said.text += text
            said.texts_at.append(place)
    elif name := _present(part, _CALL):
        said.calls += _read_call(part.get(name), join(path, name), findings)
        said.calls_at.append(join(path, name))
    elif name := _present(part, _RESPONSE):
        said.results += _read_response(part.get(name), join(path, name), findings)
    else:
        findings.append(_other_part(part, path))


def _other_part(part: Fields, path: str) -> Finding:
    for name, value in part.pairs:
        what = _OTHER_PARTS.get(name.replace("_", "").lower())
        if what and value is not None:
            fix = "Text models learn from text alone: leave such rows out."
            return Finding("unknown_part", f"the part is {what}.", "text", fix, path=path)
    what = f"the part has no text; its fields are {list_names(part.names) or 'none'}."
    return Finding("unknown_part", what, "text, functionCall, functionResponse", path=path)


def _read_call(value: Any, path: str, findings: list[Finding]) -> list[ToolCall]:
    if not isinstance(value, Fields):
        findings.append(wrong_type(value, path, "an object with name and args"))
        return []
    known = ("name", "args", "id")
    findings += repeated(value, known, path)
    name = filled_text(value, "name", path, known, findings)
    arguments = read_arguments(value.find("args"), join(path, "args"), findings)
    call_id = read_call_id(value.find("id"), join(path, "id"), findings)
    return [ToolCall(name, arguments, call_id)] if name and arguments is not None else []


def _read_response(value: Any, path: str, findings: list[Finding]) -> list[tuple[Message, str]]:
    if not isinstance(value, Fields):
        findings.append(wrong_type(value, path, "an object with name and response"))
        return []
    known = ("name", "response", "id")
    findings += repeated(value, known, path)
    name = optional_text(value, "name", path, findings)
    call_id = read_call_id(value.find("id"), join(path, "id"), findings)
    place = join(path, "response")
    response = value.find("response")
    if not isinstance(response, Fields):
        if "response" in value.names:
            findings.append(wrong_type(response, place, "an object"))
        else:
            findings.append(Finding("missing_field", "response is missing.", path=place))
        return []
    content = _response_text(plain_value(response, place, findings))
    return [(Message("tool", content, name=name, tool_call_id=call_id), place)]


def _response_text(response: dict[str, Any]) -> str:
    """Gives what a tool answered: the text that is all of it, or the object as JSON."""
    if len(response) == 1:
        [(name, value)] = response.items()
        if name in _ANSWERS and isinstance(value, str):
            return value
    return msgspec.json.encode(response).decode()


def _present(fields: Fields, names: tuple[str, ...]) -> str:
    """Gives the spelling under which a field stands; "" where it is missing or null."""
    return next((name for name in names if fields.find(name) is not None), "")


def _write(row: Row) -> dict[str, Any]:
    row = as_conversation(row)
    written: dict[str, Any] = {}
    if isinstance(row.context, str):
        written["systemInstruction"] = {"parts": [{"text": row.context}]}
    contents: list[dict[str, Any]] = []
    for message in row.messages:
        content = _write_message(message)
        last = contents[-1] if contents else {}
        if message.author == "tool" and "functionResponse" in (last.get("parts") or [{}])[-1]:
            last["parts"] += content["parts"]
        else:
            contents.append(content)
    written["contents"] = contents
    if row.tools:
        declarations = [definition["function"] for definition in row.tools]
        written["tools"] = [{"functionDeclarations": declarations}]
    return written


def _write_message(message: Message) -> dict[str, Any]:
    if message.author == "system":
        raise UnwritableRowError(
            "Gemini's format has instructions before the conversation alone, and in the row they "
            "stand within it."
        )
    if message.author == "tool":
        response = {"name": message.name, "response": _write_response(message.content)}
        named = {"id": message.tool_call_id} if message.tool_call_id else {}
        return {"role": "user", "parts": [{"functionResponse": {**named, **response}}]}
    if message.author == "user":
        return {"role": "user", "parts": [{"text": message.content}]}
    parts: list[dict[str, Any]] = []
    if message.reasoning:
        parts.append({"text": message.reasoning, "thought": True})
    if message.content:
        parts.append({"text": message.content})
    parts += ({"functionCall": _write_call(call)} for call in message.tool_calls)
    weight = {} if message.learned else {"weight": 0}
    return {"role": "model", "parts": parts, **weight}


def _write_call(call: ToolCall) -> dict[str, Any]:
    named = {"id": call.id} if call.id else {}
    return {**named, "name": call.name, "args": call.arguments}


def _write_response(content: str) -> dict[str, Any]:
    """Writes what a tool answered so that it is read as the same text."""
    try:
        response = msgspec.json.decode(content)
    except msgspec.DecodeError:
        response = None
    if isinstance(response, dict) and _response_text(response) == content:
        return response
    return {"output": content}


GEMINI = Format(
    name=FormatName.GEMINI,
    title="Gemini contents",
    row_format=RowFormat.CHAT,
    example='{"contents": [{"role": "user", "parts": [{"text": "..."}]}, '
    '{"role": "model", "parts": [{"text": "..."}]}]}',
    required=("contents",),
    fields=("contents", *_INSTRUCTION, "tools"),
    recognise=_recognise,
    read=_read,
    write=_write,
)
