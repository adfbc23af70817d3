"""Definitions of tools, and calls of them: read from whatever a format has, written as OpenAI's."""

from __future__ import annotations

from typing import Any

import msgspec

from kfp_llm_tuning.components.data.formats.checks import (
    check_text,
    describe,
    embedded_json,
    filled_text,
    has_errors,
    is_text,
    join,
    plain_value,
    repeated,
    wrong_type,
)
from kfp_llm_tuning.components.data.reading.field_names import quote
from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.json_syntax import Fields
from kfp_llm_tuning.components.data.rows import ToolCall

_DEFINITIONS = "a list of functions, each with name and parameters"
_CALL = "an object with name and arguments"
_ARGUMENTS = "a JSON object"


def read_definitions(value: Any, path: str, findings: list[Finding]) -> tuple[dict[str, Any], ...]:
    """Reads the tools that may be called.

    Args:
        value: A list, or its JSON as a text; each tool with or without OpenAI's wrapping. None
            where there are none.
        path: Its path.
        findings: Takes what is wrong.

    Returns:
        The definitions, each ``{"type": "function", "function": {...}}``.
    """
    if is_text(value):
        value = embedded_json(value, path, _DEFINITIONS, findings) if value.strip() else None
    if value is None:
        return ()
    if not isinstance(value, list):
        findings.append(wrong_type(value, path, _DEFINITIONS))
        return ()
    read = [_read_definition(each, f"{path}[{i}]", findings) for i, each in enumerate(value)]
    return tuple(definition for definition in read if definition)


def define(function: dict[str, Any]) -> dict[str, Any]:
    """Wraps the definition of a function as OpenAI's API has it."""
    return {"type": "function", "function": function}


def read_function(function: Fields, path: str, findings: list[Finding]) -> dict[str, Any] | None:
    """Reads the definition of a function: its name, its description, the schema of its arguments.

    Args:
        function: The definition.
        path: Its path.
        findings: Takes what is wrong.

    Returns:
        The definition without what is null; None where it has no name.
    """
    before = len(findings)
    name = filled_text(function, "name", path, ("description", "parameters"), findings)
    parameters = function.find("parameters")
    if parameters is not None and not isinstance(parameters, Fields):
        findings.append(wrong_type(parameters, join(path, "parameters"), "a JSON schema"))
    if not name or has_errors(findings[before:]):
        return None
    held = plain_value(function, path, findings)
    return {key: entry for key, entry in held.items() if entry is not None}


def read_call(
    name_and_arguments: Any, path: str, findings: list[Finding], call_id: str = ""
) -> ToolCall | None:
    """Reads a call.

    Args:
        name_and_arguments: An object with the two.
        path: Its path.
        findings: Takes what is wrong.
        call_id: What the tool's answer refers to.

    Returns:
        The call, or None.
    """
    if not isinstance(name_and_arguments, Fields):
        findings.append(wrong_type(name_and_arguments, path, _CALL))
        return None
    known = ("name", "arguments")
    findings += repeated(name_and_arguments, known, path)
    name = filled_text(name_and_arguments, "name", path, known, findings)
    place = join(path, "arguments")
    arguments = read_arguments(name_and_arguments.find("arguments"), place, findings)
    return ToolCall(name, arguments, call_id) if name and arguments is not None else None


def read_arguments(value: Any, path: str, findings: list[Finding]) -> dict[str, Any] | None:
    """Reads the arguments of a call.

    Args:
        value: An object, or its JSON as a text; None where there are none.
        path: Its path.
        findings: Takes what is wrong.

    Returns:
        The arguments, or None.
    """
    if value is None:
        return {}
    if is_text(value):
        text = value
        before = len(findings)
        value = embedded_json(text, path, _ARGUMENTS, findings)
        if len(findings) > before:
            return None
        if not isinstance(value, Fields):
            what = f"arguments is a text that holds {describe(value)}."
            findings.append(Finding("wrong_type", what, _ARGUMENTS, path=path))
            return None
    if not isinstance(value, Fields):
        findings.append(wrong_type(value, path, _ARGUMENTS))
        return None
    arguments: dict[str, Any] = plain_value(value, path, findings)
    return arguments


def read_call_id(value: Any, path: str, findings: list[Finding]) -> str:
    """Reads what joins a call and its answer; "" for none."""
    return "" if value is None else check_text(value, path, findings) or ""


def write_arguments(call: ToolCall) -> str:
    """Writes the arguments of a call as JSON."""
    return msgspec.json.encode(call.arguments).decode()


def _read_definition(value: Any, path: str, findings: list[Finding]) -> dict[str, Any] | None:
    if not isinstance(value, Fields):
        findings.append(wrong_type(value, path, "an object with name and parameters"))
        return None
    kind = value.find("type")
    if kind not in (None, "function", "object"):
        what = f"the tool is of the type {quote(str(kind))}, which models do not learn to call."
        findings.append(Finding("unknown_tool", what, "function", path=join(path, "type")))
        return None
    inner = value.find("function")
    if isinstance(inner, Fields):
        value, path = inner, join(path, "function")
    function = read_function(value, path, findings)
    if function is None:
        return None
    function.pop("type", None)
    return define(function)
