"""Every kind of broken conversation, each with the exact message that a user reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kfp_llm_tuning.components.data.formats.published import PUBLISHED_CHAT, PUBLISHED_TEXT
from tests.components.data.formats.published_rows import GOOD, BrokenRows, check_broken_row

CHAT_FORM = (
    'Allowed: {"messages": [{"author": "user", "content": "..."}, '
    '{"author": "assistant", "content": "..."}]}.'
)
TURNS = "Allowed: user and assistant in turn, the user first, the assistant last."


def messages(*pairs: tuple[object, object]) -> bytes:
    """Writes a conversation."""
    turns = [{"author": author, "content": content} for author, content in pairs]
    return json.dumps({"messages": turns}).encode()


BROKEN: BrokenRows = {
    "text row": (
        GOOD[PUBLISHED_TEXT],
        [
            f": a text row stands where chat rows are expected. {CHAT_FORM} Name a text model in "
            "large_model_reference, or write every row in one format."
        ],
    ),
    "no messages": (
        b'{"context": "c"}',
        [', messages: messages is missing. The fields are "context".'],
    ),
    "Gemini contents": (
        b'{"contents": [{"role": "user", "parts": [{"text": "a"}]}]}',
        [
            f": the row is Gemini contents where the file is published chat. {CHAT_FORM} "
            "Write every row in one format."
        ],
    ),
    "messages is text": (
        b'{"messages": "hi"}',
        [
            ', messages: messages is a text ("hi"). '
            "Allowed: a list of messages, each with author and content."
        ],
    ),
    "messages is empty": (b'{"messages": []}', [f", messages: messages is empty. {TURNS}"]),
    "message is text": (
        b'{"messages": ["hi"]}',
        [
            ', messages[0]: is a text ("hi"). Allowed: an object with author and content.',
        ],
    ),
    "role for author": (
        b'{"messages": [{"role": "user", "content": "a"}, '
        b'{"author": "assistant", "content": "b"}]}',
        [', messages[0].author: author is missing. Did you mean author where the row has "role"?'],
    ),
    "text for content": (
        b'{"messages": [{"author": "user", "text": "a"}, {"author": "assistant", "content": "b"}]}',
        [
            ", messages[0].content: content is missing. "
            'Did you mean content where the row has "text"?'
        ],
    ),
    "unknown author": (
        messages(("user", "a"), ("narrator", "b")),
        [', messages[1].author: the author is "narrator". Allowed: user, assistant.'],
    ),
    "bot": (
        messages(("user", "a"), ("bot", "b")),
        [
            ', messages[1].author: the author is "bot". Allowed: user, assistant. '
            "Did you mean assistant?"
        ],
    ),
    "capital author": (
        messages(("User", "a"), ("assistant", "b")),
        [
            ', messages[0].author: the author is "User". Allowed: user, assistant. '
            "Did you mean user?"
        ],
    ),
    "system message": (
        messages(("system", "s"), ("user", "a"), ("assistant", "b")),
        [
            ', messages[0].author: the author is "system". Allowed: user, assistant. '
            "Put what it says into the row's context."
        ],
    ),
    "empty author": (
        messages(("", "a"), ("assistant", "b")),
        [", messages[0].author: author is empty. Allowed: text."],
    ),
    "author is a number": (
        messages((1, "a"), ("assistant", "b")),
        [", messages[0].author: author is a number (1). Allowed: text."],
    ),
    "content is null": (
        messages(("user", "a"), ("assistant", None)),
        [", messages[1].content: content is null. Allowed: text."],
    ),
    "empty content": (
        messages(("user", "a"), ("assistant", "")),
        [", messages[1].content: content is empty. Allowed: text."],
    ),
    "assistant first": (
        messages(("assistant", "a"), ("user", "b")),
        [", messages[0].author: the message is the assistant's where the user's is due. " + TURNS],
    ),
    "user twice": (
        messages(("user", "a"), ("user", "b"), ("assistant", "c")),
        [", messages[1].author: the message is the user's where the assistant's is due. " + TURNS],
    ),
    "ends with the user": (
        messages(("user", "a"), ("assistant", "b"), ("user", "c")),
        [
            f", messages: the conversation ends with the user's message. {TURNS} "
            "Add the answer to learn."
        ],
    ),
    "context is null": (
        b'{"context": null, ' + GOOD[PUBLISHED_CHAT][1:],
        [", context: context is null. Allowed: text. Leave context out where there is none."],
    ),
    "context twice": (
        b'{"context": "a", "context": "b", ' + GOOD[PUBLISHED_CHAT][1:],
        [", context: context stands 2 times in one object. Allowed: once."],
    ),
    "author twice": (
        b'{"messages": [{"author": "assistant", "author": "user", "content": "a"}, '
        b'{"author": "assistant", "content": "b"}]}',
        [", messages[0].author: author stands 2 times in one object. Allowed: once."],
    ),
    "several mistakes in one row": (
        b'{"context": 1, "messages": [{"author": "user", "content": ""}, {"author": "model"}]}',
        [
            ", context: context is a number (1). Allowed: text. "
            "Leave context out where there is none.",
            ", messages[0].content: content is empty. Allowed: text.",
            ', messages[1].author: the author is "model". Allowed: user, assistant. '
            "Did you mean assistant?",
            ', messages[1].content: content is missing. The fields are "author".',
        ],
    ),
    "wrong message within data": (
        b'{"data": [' + messages(("user", "a"), ("user", "b")) + b"]}",
        [
            ", data[0].messages[1].author: the message is the user's where the assistant's is "
            f"due. {TURNS}"
        ],
    ),
}


def test_the_kinds_of_broken_rows_are_told_apart() -> None:
    kinds = {tuple(expected) for _, expected in BROKEN.values()}
    assert len(kinds) >= 20


@pytest.mark.parametrize(("line", "expected"), BROKEN.values(), ids=BROKEN)
def test_broken_row_has_its_exact_message(line: bytes, expected: list[str], tmp_path: Path) -> None:
    check_broken_row(PUBLISHED_CHAT, line, expected, tmp_path)
