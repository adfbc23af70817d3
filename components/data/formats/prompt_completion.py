"""Prompt and completion: two texts, or two lists of messages as Hugging Face's TRL has them.

https://huggingface.co/docs/trl/dataset_formats#prompt-completion: only the completion is learned.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.data.formats.checks import (
    check_filled_text,
    is_text,
    join,
    missing,
    repeated,
    wrong_type,
)
from kfp_llm_tuning.components.data.formats.conversations import Conversation, as_text
from kfp_llm_tuning.components.data.formats.format import Format, UnwritableRowError
from kfp_llm_tuning.components.data.formats.openai_chat import read_tools, write_tools
from kfp_llm_tuning.components.data.formats.openai_messages import read_messages, write_messages
from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.json_syntax import Fields
from kfp_llm_tuning.components.data.rows import ChatRow, Message, Row, RowFormat, TextRow

_COMPLETIONS = ("completion", "response")
_FIELDS = ("prompt", *_COMPLETIONS, "tools")
_ALLOWED = "a text, or a list of messages, each with role and content"


def _recognise(fields: Fields) -> bool:
    return "prompt" in fields.names and bool(_completion_of(fields))


def _is_conversational(fields: Fields) -> bool:
    return _recognise(fields) and any(
        isinstance(fields.get(name), list) for name in ("prompt", _completion_of(fields))
    )


def _completion_of(fields: Fields) -> str:
    return next((name for name in _COMPLETIONS if name in fields.names), "")


def _read(fields: Fields, path: str, findings: list[Finding]) -> Row | None:
    findings += repeated(fields, _FIELDS, path)
    names = ("prompt", _completion_of(fields) or "completion")
    absent = [name for name in names if name not in fields.names]
    findings += (missing(fields, name, path, ("prompt", "completion")) for name in absent)
    if absent:
        return None
    asked, answered = (fields.get(name) for name in names)
    tools = read_tools(fields, path, findings)
    places = [join(path, name) for name in names]
    if not isinstance(asked, list) and not isinstance(answered, list):
        return _read_texts((asked, answered), places, findings)
    return read_asked_and_answered((asked, answered), places, findings, tools)


def _read_texts(
    values: tuple[Any, Any], places: list[str], findings: list[Finding]
) -> TextRow | None:
    texts = []
    for value, place in zip(values, places, strict=True):
        if not is_text(value):
            findings.append(wrong_type(value, place, _ALLOWED))
            continue
        texts.append(check_filled_text(value, place, findings) or "")
    return TextRow(*texts) if len(texts) == len(values) else None


def read_asked_and_answered(
    values: tuple[Any, Any],
    places: list[str],
    findings: list[Finding],
    tools: tuple[dict[str, Any], ...] = (),
) -> ChatRow | None:
    """Reads a conversation that is cut in two, of which the second part is learned.

    Args:
        values: What was said before, and the answer: each a text or a list of messages.
        places: Their paths.
        findings: Takes what is wrong.
        tools: Definitions of tools.

    Returns:
        The row, or None.
    """
    conversation = Conversation(places[1], findings)
    asked = 0
    for value, place, author in zip(values, places, ("user", "assistant"), strict=True):
        asked = len(conversation.messages) if author == "assistant" else 0
        if isinstance(value, list):
            read_messages(value, place, conversation, findings)
        elif is_text(value):
            text = check_filled_text(value, place, findings) or ""
            conversation.add(Message(author, text), place)  # type: ignore[arg-type]
        else:
            findings.append(wrong_type(value, place, _ALLOWED))
            conversation.add(None, place)
    for position, message in enumerate(conversation.messages[:asked]):
        if message and message.author == "assistant":
            conversation.messages[position] = msgspec.structs.replace(message, learned=False)
    return conversation.finish(tools=tools)


def _write(row: Row) -> dict[str, Any]:
    text = as_text(row)
    if isinstance(row, TextRow) and text:
        return {"prompt": text.input_text, "completion": text.output_text}
    return _write_conversation(row)


def _write_conversation(row: Row) -> dict[str, Any]:
    assert isinstance(row, ChatRow)
    learned = [said.author == "assistant" and said.learned for said in row.messages]
    first = learned.index(True)
    if any(said.author == "assistant" and not said.learned for said in row.messages[first:]):
        raise UnwritableRowError(
            "prompt/completion learns all after the prompt, and in the row an answer that is not "
            "learned stands behind one that is."
        )
    messages = write_messages(row)
    start = first + len(messages) - len(row.messages)
    for message in messages[:start]:
        message.pop("weight", None)
    return {"prompt": messages[:start], "completion": messages[start:], **write_tools(row)}


PROMPT_COMPLETION = Format(
    name=FormatName.PROMPT_COMPLETION,
    title="prompt/completion",
    row_format=RowFormat.TEXT,
    example='{"prompt": "...", "completion": "..."}',
    required=("prompt", "completion"),
    fields=_FIELDS,
    recognise=_recognise,
    read=_read,
    write=_write,
)
CONVERSATIONAL_PROMPT_COMPLETION = replace(
    PROMPT_COMPLETION,
    title="conversational prompt/completion",
    row_format=RowFormat.CHAT,
    example='{"prompt": [{"role": "user", "content": "..."}], '
    '"completion": [{"role": "assistant", "content": "..."}]}',
    recognise=_is_conversational,
)
