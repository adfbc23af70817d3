"""The formats of the published templates: texts, and conversations of authors.

These are held to the published rules to the letter: user and assistant in turn, nothing empty.
``fast_check`` accepts the good rows of these formats, chunk by chunk; what it doubts is read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import UNSET, UnsetType

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.data.formats.checks import (
    check_text,
    filled_text,
    has_errors,
    join,
    missing,
    repeated,
    wrong_type,
)
from kfp_llm_tuning.components.data.formats.conversations import (
    as_conversation,
    as_text,
    refuse_tools,
    refuse_weights,
    split_into_pairs,
)
from kfp_llm_tuning.components.data.formats.format import Format, UnwritableRowError
from kfp_llm_tuning.components.data.formats.openai_messages import has_entries_with
from kfp_llm_tuning.components.data.reading.field_names import author_for, possible_names, quote
from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.json_syntax import Fields
from kfp_llm_tuning.components.data.rows import ChatRow, Message, Row, RowFormat, TextRow

_AUTHORS = ("user", "assistant")
_TEXTS = ("input_text", "output_text")
_CHAT = ("messages", "context")
_MESSAGE = ("author", "content")
_TITLE = "the published format"


def _recognise_text(fields: Fields) -> bool:
    return not set(_TEXTS).isdisjoint(fields.names)


def _recognise_chat(fields: Fields) -> bool:
    if "messages" not in fields.names:
        return False
    messages = fields.get("messages")
    return has_entries_with("author", messages) or not has_entries_with("role", messages)


def _read_text(fields: Fields, path: str, findings: list[Finding]) -> TextRow | None:
    findings += repeated(fields, _TEXTS, path)
    asked, answered = (filled_text(fields, name, path, _TEXTS, findings) for name in _TEXTS)
    return None if asked is None or answered is None else TextRow(asked, answered)


def _read_chat(fields: Fields, path: str, findings: list[Finding]) -> ChatRow | None:
    findings += repeated(fields, _CHAT, path)
    context: str | None | UnsetType = UNSET
    if "context" in fields.names:
        fix = "Leave context out where there is none."
        context = check_text(fields.get("context"), join(path, "context"), findings, fix)
    place = join(path, "messages")
    if "messages" not in fields.names:
        findings.append(missing(fields, "messages", path, _CHAT))
        return None
    entries = fields.get("messages")
    if not isinstance(entries, list):
        allowed = "a list of messages, each with author and content"
        findings.append(wrong_type(entries, place, allowed))
        return None
    messages = [
        _read_message(entry, f"{place}[{position}]", findings)
        for position, entry in enumerate(entries)
    ]
    findings += _check_order([_author(message) for message in messages], place)
    known = [message for message in messages if message]
    return None if len(known) < len(messages) or context is None else ChatRow(known, context)


def _read_message(entry: Any, path: str, findings: list[Finding]) -> Message | None:
    if not isinstance(entry, Fields):
        findings.append(wrong_type(entry, path, "an object with author and content"))
        return None
    before = len(findings)
    findings += repeated(entry, _MESSAGE, path)
    author = filled_text(entry, "author", path, _MESSAGE, findings)
    if author and author not in _AUTHORS:
        findings.append(_unknown_author(author, join(path, "author")))
    content = filled_text(entry, "content", path, _MESSAGE, findings)
    if has_errors(findings[before:]):
        # A wrong content does not spoil the order of authors, which is judged next.
        return Message(author, "") if author in _AUTHORS else None  # type: ignore[arg-type]
    return Message(author, content)  # type: ignore[arg-type]


def _check_order(authors: list[str | None], path: str) -> Iterator[Finding]:
    """Judges who speaks when, as far as every author is known."""
    allowed = "user and assistant in turn, the user first, the assistant last"
    if not authors:
        yield Finding("empty_messages", "messages is empty.", allowed, path=path)
        return
    for position, author in enumerate(authors):
        expected = _AUTHORS[position % 2]
        if author is None:
            return
        if author != expected:
            what = f"the message is the {author}'s where the {expected}'s is due."
            yield Finding("wrong_order", what, allowed, path=f"{path}[{position}].author")
            return
    if len(authors) % 2:
        what = "the conversation ends with the user's message."
        yield Finding("ends_with_user", what, allowed, "Add the answer to learn.", path=path)


def _author(message: Message | None) -> str | None:
    return message.author if message else None


def _unknown_author(author: str, path: str) -> Finding:
    meant = "".join(author_for(name) for name in possible_names((author,)))
    fix = f"Did you mean {meant}?" if meant else ""
    if author.strip().lower() in ("system", "developer"):
        fix = "Put what it says into the row's context."
    what = f"the author is {quote(author)}."
    return Finding("unknown_author", what, "user, assistant", fix, path=path)


def _write_text(row: Row) -> dict[str, Any]:
    text = as_text(row)
    if text is None:
        raise UnwritableRowError("the row is a conversation, and not a question with its answer.")
    return dict(zip(_TEXTS, (text.input_text, text.output_text), strict=True))


def _write_chat(row: Row) -> dict[str, Any]:
    row = as_conversation(row)
    refuse_tools(row, _TITLE)
    refuse_weights(row, _TITLE)
    said = [text for pair in split_into_pairs(row, _TITLE) for text in pair]
    messages = [
        {"author": _AUTHORS[position % 2], "content": text} for position, text in enumerate(said)
    ]
    context = {} if row.context is UNSET else {"context": row.context}
    return {**context, "messages": messages}


PUBLISHED_TEXT = Format(
    name=FormatName.PUBLISHED,
    title="published text",
    row_format=RowFormat.TEXT,
    example='{"input_text": "...", "output_text": "..."}',
    required=_TEXTS,
    fields=_TEXTS,
    recognise=_recognise_text,
    read=_read_text,
    write=_write_text,
)
PUBLISHED_CHAT = Format(
    name=FormatName.PUBLISHED,
    title="published chat",
    row_format=RowFormat.CHAT,
    example='{"messages": [{"author": "user", "content": "..."}, '
    '{"author": "assistant", "content": "..."}]}',
    required=("messages",),
    fields=_CHAT,
    recognise=_recognise_chat,
    read=_read_chat,
    write=_write_chat,
)
