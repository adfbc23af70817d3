"""Preference pairs: two answers to one prompt, of which supervised tuning learns the better one.

- ``prompt``, ``chosen``, ``rejected``, as texts or lists of messages, or with the prompt within the
  conversations: https://huggingface.co/docs/trl/dataset_formats#preference
- ``input``, ``preferred_output``, ``non_preferred_output``, as OpenAI has them:
  https://platform.openai.com/docs/guides/direct-preference-optimization
- ``input_text``, ``candidate_0``, ``candidate_1``, ``choice``, as the published templates do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.data.formats.checks import (
    filled_text,
    is_text,
    join,
    missing,
    repeated,
    required_list,
    wrong_type,
)
from kfp_llm_tuning.components.data.formats.conversations import Conversation
from kfp_llm_tuning.components.data.formats.format import Format, UnwritableRowError
from kfp_llm_tuning.components.data.formats.openai_chat import read_tools
from kfp_llm_tuning.components.data.formats.openai_messages import MESSAGES, read_messages
from kfp_llm_tuning.components.data.formats.prompt_completion import read_asked_and_answered
from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.json_syntax import Fields
from kfp_llm_tuning.components.data.rows import ChatRow, Row, RowFormat, TextRow

_PAIR = ("chosen", "rejected")
_OPENAI = ("input", "preferred_output", "non_preferred_output")
_CANDIDATES = ("candidate_0", "candidate_1")
_PUBLISHED = ("input_text", *_CANDIDATES, "choice")
_FIELDS = ("prompt", *_PAIR, "tools", *_OPENAI, *_PUBLISHED)


def _recognise(fields: Fields) -> bool:
    names = set(fields.names)
    return any(names.issuperset(needed) for needed in (_PAIR, _OPENAI[1:], _CANDIDATES))


def _is_conversational(fields: Fields) -> bool:
    chosen = ("prompt", "chosen", "preferred_output")
    return _recognise(fields) and any(isinstance(fields.find(name), list) for name in chosen)


def _read(fields: Fields, path: str, findings: list[Finding]) -> Row | None:
    findings += repeated(fields, _FIELDS, path)
    if "preferred_output" in fields.names:
        return _read_openai(fields, path, findings)
    if not set(_CANDIDATES).isdisjoint(fields.names):
        return _read_published(fields, path, findings)
    return _read_pair(fields, path, findings)


def _read_published(fields: Fields, path: str, findings: list[Finding]) -> TextRow | None:
    asked = filled_text(fields, "input_text", path, _PUBLISHED, findings)
    if "choice" not in fields.names:
        findings.append(missing(fields, "choice", path, _PUBLISHED))
        return None
    choice = fields.get("choice")
    if choice not in ("0", "1"):
        findings.append(wrong_type(choice, join(path, "choice"), "0 or 1"))
        return None
    answer = filled_text(fields, _CANDIDATES[int(choice)], path, _PUBLISHED, findings)
    return None if asked is None or answer is None else TextRow(asked, answer)


def _read_openai(fields: Fields, path: str, findings: list[Finding]) -> ChatRow | None:
    allowed = "an object with messages"
    if "input" not in fields.names:
        findings.append(missing(fields, "input", path, _OPENAI))
        return None
    asked, place = fields.get("input"), join(path, "input")
    if not isinstance(asked, Fields):
        findings.append(wrong_type(asked, place, allowed))
        return None
    tools = read_tools(asked, place, findings)
    messages = required_list(asked, "messages", place, MESSAGES, findings)
    answer = required_list(fields, "preferred_output", path, MESSAGES, findings)
    if messages is None or answer is None:
        return None
    places = [join(place, "messages"), join(path, "preferred_output")]
    return read_asked_and_answered((messages, answer), places, findings, tools)


def _read_pair(fields: Fields, path: str, findings: list[Finding]) -> Row | None:
    if "chosen" not in fields.names:
        findings.append(missing(fields, "chosen", path, _FIELDS))
        return None
    tools = read_tools(fields, path, findings)
    chosen, asked = fields.get("chosen"), fields.find("prompt")
    place = join(path, "chosen")
    if isinstance(chosen, Fields):
        chosen = [chosen]
    if isinstance(chosen, list) and (asked is None or (is_text(asked) and _begins_asked(chosen))):
        return _read_whole(chosen, place, findings, tools)
    if asked is None:
        findings.append(missing(fields, "prompt", path, _FIELDS))
        return None
    if is_text(asked) and is_text(chosen):
        asked_text = filled_text(fields, "prompt", path, _FIELDS, findings)
        answer = filled_text(fields, "chosen", path, _FIELDS, findings)
        return TextRow(asked_text or "", answer or "")
    places = [join(path, "prompt"), place]
    return read_asked_and_answered((asked, chosen), places, findings, tools)


def _begins_asked(messages: list[Any]) -> bool:
    """Tells whether a conversation repeats what the prompt says: it begins with no answer."""
    first = messages[0] if messages else None
    return isinstance(first, Fields) and first.find("role") != "assistant"


def _read_whole(
    messages: list[Any], path: str, findings: list[Finding], tools: tuple[dict[str, Any], ...]
) -> ChatRow | None:
    """Reads a conversation of which the last answer was preferred."""
    conversation = Conversation(path, findings)
    read_messages(messages, path, conversation, findings)
    for position, message in enumerate(conversation.messages[:-1]):
        if message and message.author == "assistant":
            conversation.messages[position] = msgspec.structs.replace(message, learned=False)
    return conversation.finish(tools=tools)


def _write(row: Row) -> dict[str, Any]:
    raise UnwritableRowError("a preference pair needs two answers, and rows have one.")


PREFERENCE = Format(
    name=FormatName.PREFERENCE,
    title="preference data",
    row_format=RowFormat.TEXT,
    example='{"prompt": "...", "chosen": "...", "rejected": "..."}',
    required=("prompt", "chosen", "rejected"),
    fields=_FIELDS,
    recognise=_recognise,
    read=_read,
    write=_write,
    caution="of each the preferred answer is learned, and the other is not read: supervised tuning "
    "learns one answer.",
)
CONVERSATIONAL_PREFERENCE = replace(
    PREFERENCE,
    title="conversational preference data",
    row_format=RowFormat.CHAT,
    example='{"prompt": [{"role": "user", "content": "..."}], '
    '"chosen": [{"role": "assistant", "content": "..."}], "rejected": [...]}',
    recognise=_is_conversational,
)
